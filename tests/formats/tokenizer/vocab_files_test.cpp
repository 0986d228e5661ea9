// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/vocab_files.h"

#include <doctest/doctest.h>

#include "formats/tokenizer/tokenizer.h"
#include "tests/support/sentencepiece_bytes.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Ids = std::vector<int32_t>;
using Files = std::vector<std::pair<std::string, std::string>>;

Tokenizer load(const Files& files) {
  const TemporaryFolder folder;
  for (const auto& [name, content] : files) folder.write(name, content);
  return Tokenizer::load(folder.path());
}

const char* const kBytes = R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5,
                               "ab": 6, "Ġ": 7, "Ġa": 8, "<mask>": 9})";
const char* const kRules = "#version: 0.2\na b\nĠ a\n";

TEST_CASE("RoBERTa from vocab.json and merges.txt") {
  const Tokenizer tokenizer = load({{"vocab.json", kBytes}, {"merges.txt", kRules}});
  CHECK(tokenizer.encode("ab a").ids == Ids{0, 6, 8, 2});
  CHECK(tokenizer.encode_pair("a", "b", {}).ids == Ids{0, 4, 2, 2, 5, 2});
  // By convention the mask token takes the space before it.
  CHECK(tokenizer.encode("a <mask>").ids == Ids{0, 4, 9, 2});
  CHECK(tokenizer.encode("a <unk>").ids == Ids{0, 4, 7, 3, 2});
  CHECK(tokenizer.mask_id() == 9);
  CHECK(tokenizer.cls_id() == 0);
  CHECK(tokenizer.sep_id() == 2);
  CHECK(tokenizer.is_special(3));
}

TEST_CASE("tokenizer_config.json's add_prefix_space and mask token") {
  const Tokenizer prefixed =
      load({{"vocab.json", kBytes},
            {"merges.txt", kRules},
            {"tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer",
              "add_prefix_space": true, "mask_token": {"content": "<mask>", "lstrip": false}})"}});
  CHECK(prefixed.encode("a <mask>").ids == Ids{0, 8, 7, 9, 2});
  // A bare string has the flags of the convention.
  const Tokenizer named = load({{"vocab.json", kBytes},
                                {"merges.txt", kRules},
                                {"special_tokens_map.json", R"({"mask_token": "<mask>"})"}});
  CHECK(named.encode("a <mask>").ids == Ids{0, 4, 9, 2});
}

TEST_CASE("add_prefix_space replaces that of tokenizer.json") {
  const std::string json = std::string(R"({"model": {"type": "BPE", "merges": ["a b", "Ġ a"],
    "vocab": )") + kBytes + R"(}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "post_processor": {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2],
                       "trim_offsets": true, "add_prefix_space": false}})";
  const auto with_class = [&](const std::string& name) {
    return load({{"tokenizer.json", json},
                 {"tokenizer_config.json",
                  R"({"add_prefix_space": true, "tokenizer_class": ")" + name + "\"}"}});
  };
  CHECK(with_class("RobertaTokenizer").encode("a").ids == Ids{0, 8, 2});
  CHECK(with_class("PreTrainedTokenizerFast").encode("a").ids == Ids{0, 4, 2});
  CHECK(load({{"tokenizer.json", json}}).encode("a").ids == Ids{0, 4, 2});
  const char* const config = R"({"add_prefix_space": true})";
  CHECK(load({{"tokenizer.json", json}, {"tokenizer_config.json", config}}).encode("a").ids ==
        Ids{0, 8, 2});
}

TEST_CASE("DeBERTa has BERT's special tokens around RoBERTa's") {
  const std::string vocab = R"({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "Ġ": 5,
                                "[MASK]": 6})";
  const Tokenizer tokenizer = load({{"vocab.json", vocab},
                                    {"merges.txt", "#version: 0.2\n"},
                                    {"config.json", R"({"model_type": "deberta"})"}});
  const Encoding pair = tokenizer.encode_pair("a [MASK]", "a", {});
  CHECK(pair.ids == Ids{1, 4, 6, 2, 4, 2});
  CHECK(pair.type_ids == Ids{0, 0, 0, 0, 1, 1});
}

/// The pieces of ALBERT's kind: a number with a comma, and its parts.
std::string numbers_model(const std::string& more = "") {
  using Type = SentencepieceModel::PieceType;
  return test::piece_field("<unk>", 0, Type::kUnknown) +
         test::piece_field("[CLS]", 0, Type::kControl) +
         test::piece_field("[SEP]", 0, Type::kControl) + test::piece_field("▁1,", -1) +
         test::piece_field("▁1", -5) + test::piece_field(",", -5) + test::piece_field("▁a,", -1) +
         test::piece_field("▁a", -5) + more;
}

TEST_CASE("ALBERT cuts the comma off a number, not off a word") {
  const Tokenizer albert = load({{"spiece.model", numbers_model()}});
  CHECK(albert.encode("1, a,").ids == Ids{1, 4, 5, 6, 2});
  const Tokenizer deberta = load({{"spm.model", numbers_model(test::piece_field("[UNK]", -9))}});
  CHECK(deberta.encode("1, a,").ids == Ids{1, 3, 6, 2});
}

TEST_CASE("DeBERTa-v2's mask token is the first id after the pieces") {
  const Tokenizer tokenizer = load({{"spm.model", numbers_model(test::piece_field("[UNK]", -9))}});
  CHECK(tokenizer.mask_id() == 9);
  CHECK(tokenizer.size() == 10);
  CHECK(tokenizer.encode("a [MASK]").ids == Ids{1, 7, 9, 2});
  CHECK(tokenizer.sep_id() == 2);
}

TEST_CASE("ids of XLM-RoBERTa and CamemBERT") {
  using Type = SentencepieceModel::PieceType;
  const std::string model = test::piece_field("<unk>", 0, Type::kUnknown) +
                            test::piece_field("<s>", 0, Type::kControl) +
                            test::piece_field("</s>", 0, Type::kControl) +
                            test::piece_field("▁a", -1) + test::piece_field("▁", -2);
  const Tokenizer xlm = load({{"sentencepiece.bpe.model", model}});
  CHECK(xlm.encode("a x <mask>").ids == Ids{0, 4, 5, 3, 6, 2});  // one more than the piece's
  CHECK(xlm.size() == 7);
  const Tokenizer camembert =
      load({{"sentencepiece.bpe.model", model}, {"config.json", R"({"model_type": "camembert"})"}});
  CHECK(camembert.encode("a x <mask>").ids == Ids{5, 7, 8, 3, 9, 6});  // four more
  CHECK(camembert.encode("<unk>NOTUSED<unk>").ids == Ids{5, 4, 3, 6});
  CHECK(camembert.pad_id() == 1);
  const std::string few = test::piece_field("<unk>", 0, Type::kUnknown);
  CHECK(error_of([&] {
          load({{"sentencepiece.bpe.model", few}});
        }).find("/sentencepiece.bpe.model: expected more than 3 pieces, found 1") !=
        std::string::npos);
}

TEST_CASE("sentencepiece models that cannot be used") {
  const auto error = [](const std::string& more) {
    return error_of([&] { load({{"tokenizer.model", numbers_model(more)}}); });
  };
  const auto ends = [&](const std::string& more, const std::string& message) {
    return error(more).ends_with("/tokenizer.model: " + message);
  };
  CHECK(error("") == "");
  CHECK(ends(test::bytes_field(2, test::number_field(3, 4)),
             "a sentencepiece model of words or characters is not supported (expected unigram or "
             "BPE)"));
  CHECK(ends(test::bytes_field(3, test::bytes_field(2, "abc")),
             "a character map of 3 bytes: expected at least 4"));
  std::string many;
  for (int k = 0; k < 270; ++k) {
    many += test::piece_field(std::to_string(k) + std::string(1000, 'a'), 0,
                              SentencepieceModel::PieceType::kUserDefined);
  }
  CHECK(ends(many, "more than 262144 bytes of user-defined pieces"));
}

TEST_CASE("ESM finds the entries of its vocabulary in the text") {
  const Files files = {{"vocab.txt", "<cls>\n<pad>\n<eos>\n<unk>\nL\nA\nLA\n.\n<mask>\n"},
                       {"config.json", R"({"model_type": "esm"})"}};
  const Tokenizer tokenizer = load(files);
  CHECK(tokenizer.encode("LALL<mask> A.").ids == Ids{0, 6, 4, 4, 8, 5, 7, 2});
  CHECK(tokenizer
            .encode("Ab c\x1C"
                    "d<cls>")
            .ids == Ids{0, 5, 3, 3, 3, 0, 2});
  CHECK(tokenizer.encode_pair("L", "A", {}).ids == Ids{0, 4, 2, 5, 2});
  CHECK(tokenizer.decode({0, 4, 6, 8, 2}, true) == "L LA");
  CHECK(tokenizer.decode({0, 4, 6, 8, 2}, false) == "<cls> L LA <mask> <eos>");
  CHECK(tokenizer.size() == 9);
  CHECK(tokenizer.mask_id() == 8);
  CHECK(!tokenizer.is_special(4));
  CHECK(tokenizer.sep_id() == std::nullopt);
}

}  // namespace
}  // namespace qe
