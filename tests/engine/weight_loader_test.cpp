// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Loading: where bytes go, how many there are at the peak, and what is refused.
#include "engine/model/weight_loader.h"

#include <doctest/doctest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "formats/safetensors.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

// The tensors of a BERT as a plain map, to be changed and written.
struct Weights {
  struct Entry {
    DType dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, Entry> tensors;

  static Weights read(const std::string& path) {
    Weights weights;
    const SafetensorsFile file(path);
    for (const auto& [name, t] : file.tensors()) {
      weights.tensors[name] = {t.dtype, t.shape, {t.bytes.begin(), t.bytes.end()}};
    }
    return weights;
  }
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    std::vector<std::byte> bytes(n * 2);
    auto* values = reinterpret_cast<uint16_t*>(bytes.data());
    for (int64_t i = 0; i < n; ++i) values[i] = to_f16(static_cast<float>(i % 251 - 125) / 999.0f);
    tensors[name] = {DType::kF16, shape, std::move(bytes)};
  }
  void write(const std::string& folder) const {
    std::vector<TensorToWrite> list;
    for (const auto& [name, e] : tensors) list.push_back({name, e.dtype, e.shape, e.bytes.data()});
    write_safetensors(folder + "/model.safetensors", std::move(list));
  }
};

// A copy of the golden model's folder, for changing.
void copy_golden(const TemporaryFolder& folder) {
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy(test::golden_path(std::string("bert/model/") + name),
                          folder.path() + "/" + name);
  }
}

// A 3-layer fp16 BERT whose Linears outweigh the rest.
void write_large(const TemporaryFolder& folder) {
  constexpr int64_t c = 512, f = 2048, v = 1000, n_layers = 3;
  folder.write("config.json", cat(R"({"model_type": "bert", "vocab_size": )", v,
                                  R"(, "hidden_size": )", c, R"(, "num_hidden_layers": )", n_layers,
                                  R"(, "num_attention_heads": 8, "intermediate_size": )", f,
                                  R"(, "max_position_embeddings": 64})"));
  Weights w;
  const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    w.add(name + ".weight", {out, in});
    w.add(name + ".bias", {out});
  };
  const auto norm = [&](const std::string& name) {
    w.add(name + ".weight", {c});
    w.add(name + ".bias", {c});
  };
  w.add("bert.embeddings.word_embeddings.weight", {v, c});
  w.add("bert.embeddings.position_embeddings.weight", {64, c});
  w.add("bert.embeddings.token_type_embeddings.weight", {2, c});
  norm("bert.embeddings.LayerNorm");
  for (int64_t i = 0; i < n_layers; ++i) {
    const std::string layer = cat("bert.encoder.layer.", i);
    for (const char* part : {"query", "key", "value"}) {
      linear(layer + ".attention.self." + part, c, c);
    }
    linear(layer + ".attention.output.dense", c, c);
    norm(layer + ".attention.output.LayerNorm");
    linear(layer + ".intermediate.dense", f, c);
    linear(layer + ".output.dense", c, f);
    norm(layer + ".output.LayerNorm");
  }
  linear("cls.predictions.transform.dense", c, c);
  norm("cls.predictions.transform.LayerNorm");
  w.add("cls.predictions.bias", {v});
  w.write(folder.path());
}

std::string load_error(const std::string& folder, int64_t bits = 4) {
  ThreadPool threads(1);
  const Context ctx{.threads = &threads};
  Memory memory(false);
  return error_of([&] { load_masked_lm(folder, {.bits = bits}, ctx, memory); });
}

// Bytes that this process has got from the allocator and not given back. Mapped files do not count.
size_t allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// How many bytes `body` adds to that at its peak, sampled beside it and once after it.
size_t peak_of(const std::function<void()>& body) {
  const size_t before = allocated_bytes();
  std::atomic<size_t> peak = before;
  std::atomic<bool> done = false;
  std::thread sampler([&] {
    while (!done) peak = std::max(peak.load(), allocated_bytes());
  });
  body();
  done = true;
  sampler.join();
  return std::max(peak.load(), allocated_bytes()) - before;
}

}  // namespace

TEST_CASE("weight_loader: Linears in 4 bits, head and embeddings as stored") {
  ThreadPool threads(2);
  const Context ctx{.threads = &threads};
  Memory memory(false);
  const MaskedLm model = load_masked_lm(test::example_path("tiny-mlm"), {}, ctx, memory);
  CHECK(model.layers[0].qkv[0].weight.is_quantized());
  CHECK(model.layers[3].ffn_down.weight.is_quantized());
  CHECK_FALSE(model.head_dense.weight.is_quantized());
  CHECK(model.word_table.dtype == DType::kF16);
  CHECK(model.decoder.data == model.word_table.data);
  CHECK(model.n_linears == 25);
  CHECK(model.lora_sites().size() == 25);
  for (size_t i = 0; i < 25; ++i) CHECK(model.lora_sites()[i].linear_id == static_cast<int>(i));
}

TEST_CASE("weight_loader: peak memory is the model plus at most one tensor") {
#if defined(__SANITIZE_ADDRESS__)
  MESSAGE("not run: the sanitizer brings its own allocator");
#else
  const TemporaryFolder folder;
  write_large(folder);
  ThreadPool threads(1);
  const Context ctx{.threads = &threads};
  Memory planned(true);
  load_masked_lm(folder.path(), {}, ctx, planned);
  constexpr size_t kLargestTensor = size_t{2048} * 512 * 2;
  constexpr size_t kModel = size_t{3} * (4 * 512 * 512 + 2 * 2048 * 512);  // Linear weights
  CHECK(planned.total() < kModel * 0.6 + (1000 + 64 + 2 + 512) * 512 * 2 + 150000);
  Memory memory(false);
  const size_t peak = peak_of([&] { load_masked_lm(folder.path(), {}, ctx, memory); });
  CHECK(peak <= planned.total() + kLargestTensor);
  CHECK(peak >= planned.total() * 9 / 10);  // the measurement saw the model
#endif
}

TEST_CASE("weight_loader: legacy names, a bare encoder's names, a decoder instead of embeddings") {
  const TemporaryFolder folder;
  copy_golden(folder);
  Weights weights = Weights::read(folder.path() + "/model.safetensors");
  Weights renamed;
  for (auto& [name, entry] : weights.tensors) {
    std::string other = name;
    const size_t norm = other.find("LayerNorm.weight");
    if (norm != std::string::npos) other.replace(norm, 16, "LayerNorm.gamma");
    if (other.starts_with("bert.")) other = other.substr(5);
    if (other == "embeddings.word_embeddings.weight") other = "cls.predictions.decoder.weight";
    renamed.tensors[other] = entry;
  }
  renamed.write(folder.path());
  CHECK(load_error(folder.path()) == "");
}

TEST_CASE("weight_loader: what is missing or wrong is named") {
  const std::string query = "bert.encoder.layer.1.attention.self.query.weight";
  const auto error_after = [&](const std::function<void(Weights&)>& change, int64_t bits = 4) {
    const TemporaryFolder folder;
    copy_golden(folder);
    Weights weights = Weights::read(folder.path() + "/model.safetensors");
    change(weights);
    weights.write(folder.path());
    return load_error(folder.path(), bits);
  };
  CHECK(error_after([](Weights&) {}) == "");
  CHECK(error_after([&](Weights& w) {
          w.tensors.erase(query);
        }).find("missing tensor \"" + query + "\" (48, 48)") != std::string::npos);
  CHECK(error_after([&](Weights& w) {
          w.tensors.erase("bert.embeddings.word_embeddings.weight");
        }).find("missing tensor \"bert.embeddings.word_embeddings.weight\"") != std::string::npos);
  CHECK(error_after([&](Weights& w) {
          w.tensors[query].shape = {24, 96};
        }).find("expected shape (48, 48), got (24, 96)") != std::string::npos);
  CHECK(error_after([&](Weights& w) {
          w.tensors[query].dtype = DType::kI32;
        }).find("expected a floating type, got I32") != std::string::npos);
  CHECK(error_after([&](Weights& w) {
          w.tensors.erase("cls.predictions.transform.dense.weight");
        }).find("no masked-LM head") != std::string::npos);
  const auto poison = [&](Weights& w) {
    reinterpret_cast<float*>(w.tensors[query].bytes.data())[100] = NAN;
  };
  const std::string nan = error_after(poison);
  CHECK(nan.find(query) != std::string::npos);
  CHECK(nan.find("row 2, column 4") != std::string::npos);
}

}  // namespace qe
