// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Model folders as they are found: every family's golden model in other types, names, files and
// with other things beside it is the same model.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/convert/converted_tensors.h"
#include "engine/infer/embed.h"
#include "tests/support/golden_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/torch_writer.h"

namespace qe {
namespace {

using Logits = std::vector<float>;

/// A model folder in memory, to be changed and written.
struct ModelFolder {
  struct Entry {
    DType dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::string golden;  // the folder that it comes from
  Json json;
  EncoderConfig config;
  std::map<std::string, Entry> tensors;

  explicit ModelFolder(const std::string& folder)
      : golden(folder),
        json(Json::parse_file(folder + "/model/config.json")),
        config(read_encoder_config(folder + "/model")) {
    const WeightFiles files(folder + "/model");
    for (const auto& [name, t] : files.tensors()) {
      tensors[name] = {t->dtype, t->shape, {t->bytes.begin(), t->bytes.end()}};
    }
  }

  std::string word() const { return config.names.word_embeddings + ".weight"; }
  std::string decoder() const { return config.names.decoder + ".weight"; }

  std::vector<float> values(const std::string& name) const {
    const Entry& e = tensors.at(name);
    return StoredTensor{.name = name, .dtype = e.dtype, .shape = e.shape, .bytes = e.bytes}
        .to_f32();
  }
  void set(const std::string& name, const std::vector<float>& values, DType dtype) {
    Entry& e = tensors.at(name);
    e.dtype = dtype;
    e.bytes.resize(values.size() * dtype_size(dtype));
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = dtype == DType::kBF16 ? to_bf16(values[i]) : to_f16(values[i]);
      const void* from = dtype == DType::kF32 ? static_cast<const void*>(&values[i]) : &half;
      std::memcpy(e.bytes.data() + i * dtype_size(dtype), from, dtype_size(dtype));
    }
  }
  void convert(DType dtype) {
    for (const auto& entry : tensors) set(entry.first, values(entry.first), dtype);
  }
  void rename(const std::string& from, const std::string& to) {
    auto node = tensors.extract(from);
    node.key() = to;
    tensors.insert(std::move(node));
  }
  void add(const std::string& name, DType dtype, const std::vector<int64_t>& shape) {
    int64_t n_bytes = 0;
    size_of(shape, dtype, &n_bytes);
    tensors[name] = {dtype, shape, std::vector<std::byte>(static_cast<size_t>(n_bytes))};
  }

  void write(const std::string& folder, size_t n_shards = 1) const {
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/config.json") << json.dump();
    std::vector<std::vector<TensorToWrite>> shards(n_shards);
    Json map = Json::object();
    size_t i = 0;
    for (const auto& [name, e] : tensors) {
      map.set(name, cat("shard-", i % n_shards, ".safetensors"));
      shards[i++ % n_shards].push_back({name, e.dtype, e.shape, e.bytes.data()});
    }
    if (n_shards == 1) return write_safetensors(folder + "/model.safetensors", shards[0]);
    for (size_t k = 0; k < n_shards; ++k) {
      write_safetensors(cat(folder, "/shard-", k, ".safetensors"), shards[k]);
    }
    std::ofstream(folder + "/model.safetensors.index.json")
        << Json::object({{"weight_map", map}}).dump();
  }

  /// Logits of the golden rows.
  static Logits logits_in(const std::string& folder, const std::string& golden, int64_t bits) {
    const std::vector<Record> rows = test::rows_of(golden + "/train.jsonl");
    test::GoldenModel model(folder, bits, false);
    const PackedBatch batch =
        test::pack(model.lm.config, rows, 0, std::min<size_t>(rows.size(), 4), false);
    return test::logits_of(model, batch);
  }
  Logits logits(int64_t bits = 32, size_t n_shards = 1) const {
    const TemporaryFolder folder;
    write(folder.path() + "/model", n_shards);
    return logits_in(folder.path(), golden, bits);
  }
  std::string error() const {
    return error_of([&] { logits(); });
  }
  /// Of a text: it needs no head.
  std::vector<float> embedding() const {
    const TemporaryFolder folder;
    write(folder.path() + "/model");
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) {
      std::filesystem::copy_file(cat(golden, "/model/", file), cat(folder.path(), "/model/", file));
    }
    Embedder embedder({.model = folder.path() + "/model", .device = "cpu", .threads = 1},
                      {.pooling = Pooling::kMean}, Log());
    const EncodedText text = embedder.prepare("the king of the land", false);
    std::vector<float> row(static_cast<size_t>(embedder.size()));
    embedder.embed({&text, 1}, row);
    return row;
  }
};

std::vector<std::string> all_goldens() {
  std::vector<std::string> folders = {test::golden_path("bert")};
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_path("families"))) {
    folders.push_back(entry.path().string());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

template <class Body>
void for_every_family(const Body& body) {
  for (const std::string& folder : all_goldens()) {
    CAPTURE(folder);
    body(ModelFolder(folder));
  }
}

}  // namespace

TEST_CASE("model folders: fp32, fp16 and bf16 files of the same values are the same model") {
  for_every_family([](const ModelFolder& original) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      ModelFolder half = original;
      half.convert(dtype);
      ModelFolder wide = half;
      wide.convert(DType::kF32);
      CHECK(half.logits() == wide.logits());
    }
  });
}

TEST_CASE("model folders: one file, shards, and torch's file") {
  for_every_family([](const ModelFolder& model) {
    const Logits expected = ModelFolder::logits_in(model.golden, model.golden, 4);
    CHECK(model.logits(4) == expected);
    CHECK(model.logits(4, 3) == expected);
    const TemporaryFolder folder;
    folder.write("model/config.json", model.json.dump());
    std::map<std::string, StoredTensor> tensors;
    for (const auto& [name, e] : model.tensors) {
      tensors[name] = {.name = name, .dtype = e.dtype, .shape = e.shape, .bytes = e.bytes};
    }
    folder.write("model/pytorch_model.bin", test::torch_file_of(tensors));
    CHECK(ModelFolder::logits_in(folder.path(), model.golden, 4) == expected);
  });
}

TEST_CASE("model folders: 4-bit weights of the file are those that loading makes") {
  for_every_family([](const ModelFolder& original) {
    ModelFolder model = original;
    model.convert(DType::kF32);  // what they decode to has the stored type
    const TemporaryFolder folder;
    model.write(folder.path() + "/float");
    std::filesystem::create_directory(folder.path() + "/model");
    ThreadPool threads(1);
    const Context ctx{.threads = &threads};
    const ConvertedTensors converted(
        folder.path() + "/float",
        {.base = ConvertOptions::Base::kStored, .four_bit = true, .trained = {.bits = 4}}, ctx);
    CHECK(converted.n_quantized() > 0);
    converted.write(folder.path() + "/model");
    CHECK(ModelFolder::logits_in(folder.path(), model.golden, 4) == model.logits(4));
  });
}

TEST_CASE("model folders: old names, bare names, and what other classes hold beside") {
  for_every_family([](const ModelFolder& original) {
    const Logits expected = original.logits();
    const std::string& prefix = original.config.names.base_prefix;
    ModelFolder bare = original;
    for (const auto& entry : original.tensors) {
      std::string name = entry.first;
      if (name.starts_with(prefix)) name = name.substr(prefix.size());
      if (name.ends_with("LayerNorm.weight")) name.replace(name.size() - 6, 6, "gamma");
      if (name.ends_with("LayerNorm.bias")) name.replace(name.size() - 4, 4, "beta");
      bare.rename(entry.first, name);
    }
    CHECK(bare.logits() == expected);

    ModelFolder pretraining = original;
    const int64_t c = original.config.hidden_size;
    for (const std::string& begin : {std::string(), prefix}) {
      pretraining.add(begin + "pooler.dense.weight", DType::kF32, {c, c});
      pretraining.add(begin + "embeddings.position_ids", DType::kI64, {1, 8});
      pretraining.add(begin + "embeddings.token_type_ids", DType::kI64, {1, 8});
    }
    pretraining.add("cls.seq_relationship.weight", DType::kF32, {2, c});
    pretraining.add("sop_classifier.classifier.weight", DType::kF32, {2, c});
    pretraining.add("classifier.bias", DType::kF16, {2});
    CHECK(pretraining.logits() == expected);

    ModelFolder encoder = bare;
    std::erase_if(encoder.tensors, [&](const auto& entry) {
      return original.tensors.count(prefix + entry.first) == 0 &&
             entry.first.find("LayerNorm.") == std::string::npos;
    });
    CHECK(encoder.error().find("the model has no masked-LM head") != std::string::npos);
    CHECK(encoder.embedding() == original.embedding());
  });
}

TEST_CASE("model folders: the decoder is the word table, or one of its own") {
  for_every_family([](const ModelFolder& original) {
    ModelFolder tied = original;
    tied.json.set("tie_word_embeddings", true);
    tied.tensors.erase(tied.decoder());
    const Logits expected = tied.logits();

    ModelFolder moved = tied;  // either name will do
    moved.rename(moved.word(), moved.decoder());
    CHECK(moved.logits() == expected);
    ModelFolder both = tied;
    both.tensors[both.decoder()] = both.tensors[both.word()];
    CHECK(both.logits() == expected);
    ModelFolder untied = both;
    untied.json.set("tie_word_embeddings", false);
    CHECK(untied.logits() == expected);

    std::vector<float> doubled = both.values(both.word());
    for (float& value : doubled) value *= 2.0f;
    untied.set(untied.decoder(), doubled, untied.tensors[untied.word()].dtype);
    const Logits other = untied.logits();
    CHECK(other != expected);
    // As in transformers, tensors that differ are not tied, whatever config.json says.
    untied.json.set("tie_word_embeddings", true);
    CHECK(untied.logits() == other);

    untied.json.set("tie_word_embeddings", false);
    untied.tensors.erase(untied.decoder());
    CHECK(untied.error().find(untied.decoder()) != std::string::npos);
  });
}

TEST_CASE("model folders: a bias of the head under either name") {
  for_every_family([](const ModelFolder& original) {
    if (!original.config.biases.decoder) return;
    const std::string own = original.config.names.decoder + ".bias";
    const std::string shared = original.config.names.decoder_bias;
    if (own == shared) return;
    ModelFolder model = original;
    if (model.tensors.count(own) == 0) model.rename(shared, own);
    model.tensors.erase(shared);
    const Logits expected = original.logits();
    CHECK(model.logits() == expected);
    model.rename(own, shared);
    CHECK(model.logits() == expected);
    // The decoder's own counts, as in transformers.
    model.tensors[own] = model.tensors[shared];
    model.set(shared, std::vector<float>(static_cast<size_t>(model.config.vocab_size)),
              DType::kF32);
    CHECK(model.logits() == expected);
  });
}

TEST_CASE(
    "model folders: a vocabulary may have more rows than the tokenizer, not other rows than the "
    "file") {
  for_every_family([](const ModelFolder& original) {
    constexpr int64_t kMore = 6;
    const int64_t v = original.config.vocab_size;
    const Logits expected = original.logits();
    ModelFolder padded = original;
    padded.json.set("vocab_size", v + kMore);
    CHECK(padded.error().find(cat("(", v + kMore, ", ")) != std::string::npos);
    for (auto& entry : padded.tensors) {
      ModelFolder::Entry& e = entry.second;
      const bool of_words = entry.first == padded.word() || entry.first == padded.decoder() ||
                            entry.first == padded.config.names.decoder_bias ||
                            entry.first == padded.config.names.decoder + ".bias";
      if (!of_words) continue;
      e.bytes.resize(e.bytes.size() / static_cast<size_t>(v) * static_cast<size_t>(v + kMore));
      e.shape[0] = v + kMore;
    }
    const Logits found = padded.logits();
    REQUIRE(found.size() / static_cast<size_t>(v + kMore) ==
            expected.size() / static_cast<size_t>(v));
    Logits without;
    for (size_t row = 0; row < found.size(); row += static_cast<size_t>(v + kMore)) {
      without.insert(without.end(), found.begin() + static_cast<std::ptrdiff_t>(row),
                     found.begin() + static_cast<std::ptrdiff_t>(row) + v);
    }
    CHECK(without == expected);
  });
}

TEST_CASE("model folders: weights that other methods quantized are refused by name") {
  ModelFolder model(test::golden_path("bert"));
  const auto error = [&](const char* quantization) {
    model.json.set("quantization_config", Json::parse(quantization, "q"));
    return model.error();
  };
  CHECK(error(R"({"quant_method": "bitsandbytes", "load_in_4bit": true})") == "");
  CHECK(error(R"({"load_in_4bit": true, "load_in_8bit": false})") == "");
  CHECK(error("null") == "");
  CHECK(error(R"({"quant_method": "gptq", "bits": 4})")
            .ends_with("config.json: /quantization_config/quant_method: \"gptq\" is not supported; "
                       "supported: bitsandbytes"));
  CHECK(error(R"({"quant_method": "bitsandbytes", "load_in_8bit": true})")
            .ends_with("config.json: /quantization_config/load_in_8bit: true is not supported: "
                       "8-bit weights; supported: 4 bits"));
}

}  // namespace qe
