// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/weight_files.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "formats/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

/// Writes a file with one-element tensors of these names; the i-th holds i + 1.
void write_tensors(const std::string& path, const std::vector<std::string>& names) {
  const std::vector<float> values = {1.0f, 2.0f, 3.0f, 4.0f};
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < names.size(); ++i) {
    tensors.push_back({names[i], DType::kF32, {1}, &values[i]});
  }
  write_safetensors(path, tensors);
}

std::string open_error(const std::string& folder) {
  return error_of([&] { WeightFiles weights(folder); });
}

TEST_CASE("WeightFiles opens a single file, which wins over an index") {
  const TemporaryFolder folder;
  write_tensors(folder.path() + "/model.safetensors", {"a", "b"});
  folder.write("model.safetensors.index.json", "not even JSON");
  const WeightFiles weights(folder.path());
  CHECK(weights.folder() == folder.path());
  CHECK(weights.tensors().size() == 2);
  REQUIRE(weights.find("b"));
  CHECK(weights.find("b")->to_f32() == std::vector<float>{2.0f});
  CHECK(weights.find("c") == nullptr);
}

TEST_CASE("WeightFiles follows an index, also where a tensor is stored twice") {
  const TemporaryFolder folder;
  write_tensors(folder.path() + "/model-00001-of-00002.safetensors", {"a", "twice"});
  write_tensors(folder.path() + "/model-00002-of-00002.safetensors", {"twice", "b"});
  folder.write("model.safetensors.index.json",
               R"({"metadata": {"total_size": 16}, "weight_map": {
                 "a": "model-00001-of-00002.safetensors",
                 "twice": "model-00002-of-00002.safetensors",
                 "b": "model-00002-of-00002.safetensors"}})");
  const WeightFiles weights(folder.path());
  CHECK(weights.tensors().size() == 3);
  CHECK(weights.find("a")->to_f32()[0] == 1.0f);
  CHECK(weights.find("twice")->to_f32()[0] == 1.0f);
  CHECK(*weights.find("twice")->file == folder.path() + "/model-00002-of-00002.safetensors");
  CHECK(weights.find("b")->to_f32()[0] == 2.0f);
}

TEST_CASE("WeightFiles says what it looked for") {
  const TemporaryFolder folder;
  const std::string path = folder.path();
  CHECK(open_error(path + "/none") == path + "/none: no such folder");
  CHECK(open_error(path) ==
        path +
            ": no weights, expected one of model.safetensors, model.safetensors.index.json, "
            "pytorch_model.bin, pytorch_model.bin.index.json");
  folder.write("tf_model.h5", "x");
  CHECK(open_error(path).starts_with(path + ": only tf_model.h5 is there, another framework's"));
  folder.write("pytorch_model.bin", "x");
  CHECK(open_error(path).starts_with(path + "/pytorch_model.bin: expected what torch.save writes"));
}

TEST_CASE("WeightFiles reads torch.save's files where there are no safetensors") {
  const std::string golden = QE_SOURCE_DIR "/tests/golden/";
  // One file, which also has a tied decoder and position ids; and shards.
  for (const std::string name : {"electra", "eurobert"}) {
    const WeightFiles expected(golden + "families/" + name + "/model");
    const WeightFiles found(golden + "torch_files/" + name);
    CHECK(found.names().size() == (name == "electra" ? 1 : 2));
    CHECK(found.tensors().size() == expected.tensors().size() + (name == "electra" ? 2 : 0));
    for (const auto& [key, tensor] : expected.tensors()) {
      CAPTURE(key);
      const StoredTensor* same = found.find(key);
      REQUIRE(same);
      CHECK(same->dtype == tensor->dtype);
      CHECK(same->shape == tensor->shape);
      CHECK(std::equal(same->bytes.begin(), same->bytes.end(), tensor->bytes.begin(),
                       tensor->bytes.end()));
    }
  }
  const TemporaryFolder folder;
  folder.write("pytorch_model.bin", "not even a pickle");
  write_tensors(folder.path() + "/model.safetensors", {"a"});
  CHECK(WeightFiles(folder.path()).names() == std::vector<std::string>{"model.safetensors"});
}

TEST_CASE("an index cannot name files outside its folder") {
  const TemporaryFolder folder;
  write_tensors(folder.write("outside.safetensors", ""), {"a"});
  const std::string model = folder.path() + "/model";
  const std::string index = "model/model.safetensors.index.json";
  for (const std::string name :
       {"../outside.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", "",
        "..\\\\outside.safetensors", "outside.safetensors\\u0000.x"}) {
    CAPTURE(name);
    folder.write(index, R"({"weight_map": {"a": ")" + name + "\"}}");
    const std::string error = open_error(model);
    CHECK(error.starts_with(model + "/model.safetensors.index.json: /weight_map/a: expected the "
                                    "name of a file in the same folder, got \""));
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("a shard may not be a link out of its folder, except into a cache's blobs") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const std::string cache = folder.path() + "/models--a--b";
  const std::string index = R"({"weight_map": {"a": "shard.safetensors"}})";
  for (const std::string name : {"plain", "models--a--b/snapshots/c0ffee"}) {
    folder.write(name + "/model.safetensors.index.json", index);
  }
  write_tensors(folder.write("outside.safetensors", ""), {"a"});
  write_tensors(folder.write("plain-too/shard.safetensors", ""), {"a"});  // only begins alike
  write_tensors(folder.write("plain/inside.safetensors", ""), {"a"});
  write_tensors(folder.write("models--a--b/blobs/1234", ""), {"a"});

  const std::string plain = folder.path() + "/plain";
  const std::string link = plain + "/shard.safetensors";
  const auto error_with = [&](const std::string& target) {
    fs::remove(link);
    fs::create_symlink(target, link);
    return open_error(plain);
  };
  for (const std::string target :
       {"../outside.safetensors", "../plain-too/shard.safetensors", "../models--a--b/blobs/1234"}) {
    CAPTURE(target);
    CHECK(error_with(target).starts_with(
        plain + ": \"shard.safetensors\" is a link that leaves the folder, to "));
  }
  CHECK(error_with("inside.safetensors") == "");
  CHECK(error_with("../plain/inside.safetensors") == "");

  const std::string snapshot = cache + "/snapshots/c0ffee";
  fs::create_symlink("../../blobs/1234", snapshot + "/shard.safetensors");
  CHECK(open_error(snapshot) == "");
  fs::remove(snapshot + "/shard.safetensors");
  fs::create_symlink("../../../outside.safetensors", snapshot + "/shard.safetensors");
  CHECK(open_error(snapshot).find("leaves the folder") != std::string::npos);
}

TEST_CASE("a broken index names file and key") {
  const TemporaryFolder folder;
  const std::string index = folder.path() + "/model.safetensors.index.json";
  const auto error = [&](const std::string& content) {
    folder.write("model.safetensors.index.json", content);
    const std::string message = open_error(folder.path());
    REQUIRE(message.starts_with(index + ": "));
    return message.substr(index.size() + 2);
  };
  write_tensors(folder.path() + "/shard.safetensors", {"a"});
  CHECK(error("{}") == "missing key \"weight_map\"");
  CHECK(error("[]") == "expected an object, got []");
  CHECK(error(R"({"weight_map": []})") == "/weight_map: expected an object, got []");
  CHECK(error(R"({"weight_map": {"a": 1}})") == "/weight_map/a: expected a string, got 1");
  CHECK(error(R"({"weight_map": {"a": "gone.safetensors"}})") ==
        "/weight_map/a: there is no file " + folder.path() + "/gone.safetensors");
  CHECK(error(R"({"weight_map": {"a": ")" + std::string(5000, 'x') + "\"}}")
            .starts_with("/weight_map/a: there is no file "));
  CHECK(error(R"({"weight_map": {"b": "shard.safetensors"}})") ==
        "/weight_map/b: shard.safetensors has no such tensor");
  folder.write("bad.safetensors", "short");
  folder.write("model.safetensors.index.json", R"({"weight_map": {"a": "bad.safetensors"}})");
  CHECK(open_error(folder.path()).starts_with(folder.path() + "/bad.safetensors: 5 bytes"));
}

}  // namespace
}  // namespace qe
