// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Real tokenizers against digests of the reference's answers
// (scripts/make_real_tokenizer_goldens.py). Their files are not in this repository:
// real_tokenizers.cmake unpacks them and names the folder.

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "formats/json.h"
#include "formats/tokenizer/tokenize_json.h"
#include "tests/support/sha256.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

std::string numbers(const Json& values) {
  std::string out;
  for (const Json& value : values.items()) {
    if (!out.empty()) out += ' ';
    out += value.is_null() ? "-1" : value.dump();
  }
  return out;
}

std::string digest(const std::string& text) { return test::sha256(text).substr(0, 8); }

/// "refused" where a text is too short to be truncated as asked.
std::string answer_digest(const Tokenizer& tokenizer, const Json& request, bool ids_only) {
  Json answer;
  const std::string error = error_of([&] {
    answer = Json::parse(tokenize_json_line(tokenizer, request.dump(), "request"), "answer");
  });
  if (error.starts_with("truncation: ")) return "refused";
  REQUIRE(error == "");
  if (ids_only) return digest(numbers(answer.at("ids")));
  std::string text;
  for (const char* key : {"ids", "type_ids", "special_tokens_mask", "word_ids"}) {
    text += numbers(answer.at(key)) + "\n";
  }
  Json flat = Json::array();
  for (const Json& pair : answer.at("offsets").items()) {
    for (const Json& place : pair.items()) flat.push_back(place);
  }
  text += numbers(flat);
  std::vector<int32_t> ids;
  for (const Json& id : answer.at("ids").items()) ids.push_back(static_cast<int32_t>(id.as_int()));
  for (const bool skip : {false, true}) text += "\n" + tokenizer.decode(ids, skip);
  return digest(text);
}

void check_model(const std::string& folder, const Json& model, const Json& requests,
                 const char* digests_name, bool ids_only) {
  const Tokenizer tokenizer = Tokenizer::load(folder);
  CHECK(tokenizer.size() == model.at("size").as_int());
  CHECK(tokenizer.mask_id() == static_cast<int32_t>(model.at("mask_id").as_int()));
  CHECK(tokenizer.is_special(*tokenizer.mask_id()));
  CHECK(tokenizer.is_special(*tokenizer.pad_id()));
  CHECK(tokenizer.is_special(*tokenizer.cls_id()));
  const Json& digests = model.at(digests_name);
  REQUIRE(requests.items().size() == digests.items().size());
  for (size_t k = 0; k < requests.items().size(); ++k) {
    const Json& request = requests.items()[k];
    if (digests.items()[k].is_null()) continue;
    CAPTURE(request.dump());
    CHECK(answer_digest(tokenizer, request, ids_only) == digests.items()[k].as_string());
  }
}

TEST_CASE("real tokenizers answer as the reference, with and without tokenizer.json") {
  const char* folder = std::getenv("QE_TOKENIZERS_FOLDER");
  REQUIRE_MESSAGE(folder != nullptr, "run by real_tokenizers.cmake");
  const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/tokenizer_real.json");
  const Json& requests = golden.at("requests");
  CHECK(golden.at("models").items().size() == 10);
  for (const Json& model : golden.at("models").items()) {
    const std::string& name = model.at("name").as_string();
    CAPTURE(name);
    const fs::path source = fs::path(folder) / name;
    check_model(source.string(), model, requests, "digests", /*ids_only=*/false);
    const Json* files = model.find("files");
    if (files == nullptr) continue;
    CAPTURE("without tokenizer.json");
    const TemporaryFolder copy;
    for (const fs::directory_entry& file : fs::directory_iterator(source)) {
      const fs::path file_name = file.path().filename();
      if (file_name != "tokenizer.json") fs::copy(file.path(), fs::path(copy.path()) / file_name);
    }
    for (const auto& [file_name, content] : files->members()) {
      copy.write(file_name, content.dump());
    }
    const bool ids_only = model.find("id_digests") != nullptr;
    check_model(copy.path(), model, requests, ids_only ? "id_digests" : "digests", ids_only);
  }
}

}  // namespace
}  // namespace qe
