// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <fstream>
#include <iostream>

#include "engine/convert/logit_drift.h"
#include "formats/tokenizer/tokenizer.h"
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/ops/backend.h"
#include "tools/commands.h"
#include "tools/convert_folder.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

using Base = ConvertOptions::Base;

/// A way to merge.
struct Target {
  const char* name;
  const char* what;
  Base base;
  bool four_bit;
};
constexpr Target kTargets[] = {
    {"trained", "floats, from the weights that training saw", Base::kTrained, false},
    {"original", "floats, from the folder's own weights", Base::kStored, false},
    {"4bit", "quantized again", Base::kTrained, true},
};

const Target& target_of(const Arguments& arguments) {
  const std::string name = arguments.text("onto", kTargets[0].name);
  for (const Target& target : kTargets) {
    if (name == target.name) return target;
  }
  throw UsageError(cat("--onto: expected trained, original or 4bit, got \"", name, "\""));
}

constexpr const char* kSample[] = {
    "The meeting was moved to Monday because two of the speakers could not come.",
    "Water boils at a lower temperature on a high mountain than at the sea.",
    "In 1969 people walked on the moon for the first time, and millions watched them.",
    "She opened the old letter, read it twice and put it back into the drawer.",
};

/// Ids of the texts that drift is measured on.
std::vector<std::vector<int32_t>> sample_ids(const Arguments& arguments, int64_t max_length) {
  std::vector<std::string> texts;
  if (arguments.has("texts")) {
    const std::string path = arguments.text("texts");
    std::ifstream file(path);
    QE_CHECK(file, path, ": cannot read");
    for (std::string line; texts.size() < 32 && std::getline(file, line);) {
      if (line.find_first_not_of(" \t\r") != std::string::npos) texts.push_back(line);
    }
    QE_CHECK(!texts.empty(), path, ": no text in it");
  } else {
    texts.assign(std::begin(kSample), std::end(kSample));
  }
  const Tokenizer tokenizer = Tokenizer::load(arguments.text("model"));
  std::vector<std::vector<int32_t>> ids;
  for (const std::string& text : texts) {
    ids.push_back(tokenizer.encode(text, {.max_length = std::min<int64_t>(max_length, 64)}).ids);
  }
  return ids;
}

std::optional<DType> dtype_of(const Arguments& arguments) {
  if (!arguments.has("dtype")) return {};
  const std::optional<DType> dtype = dtype_from_torch_name(arguments.text("dtype"));
  if (dtype && is_floating(*dtype) && dtype != DType::kF64) return dtype;
  throw UsageError(
      cat("--dtype: expected float32, float16 or bfloat16, got \"", arguments.text("dtype"), "\""));
}

/// Whether a GPU has room for the model in fp32, with something to spare for activations.
bool fits(ConvertedTensors& model, const Context& device) {
  if (device.device.kind == DeviceKind::kCpu) return true;
  const size_t n_free = cuda::device_info(device.device.index).free_bytes;
  return all_logits_weight_bytes(model, device) + (size_t{1} << 30) < n_free;
}

/// The drift of every way to merge, against base and adapters in fp32.
std::string drift_text(const Arguments& arguments, const ConvertOptions& chosen, Context device) {
  const std::string folder = arguments.text("model");
  ConvertOptions options = chosen;
  options.base = Base::kTrained;
  options.four_bit = false;
  options.dtype = DType::kF32;
  ConvertedTensors exact(folder, options, device);
  if (arguments.text("device", "auto") == "auto" && !fits(exact, device)) {
    device = Context{.threads = device.threads};
  }
  const auto ids = sample_ids(arguments, exact.config().max_length());
  const std::vector<float> reference = all_logits(exact, ids, device);
  Table table("lrrrl");
  table.add({"merged onto", "largest drift", "mean drift", "same best", ""});
  table.rule();
  for (const Target& target : kTargets) {
    options = chosen;
    options.base = target.base;
    options.four_bit = target.four_bit;
    std::vector<std::string> row = {target.name, "", "", "", target.what};
    try {
      ConvertedTensors model(folder, options, device);
      const LogitDrift d =
          drift(all_logits(model, ids, device), reference, model.config().vocab_size);
      row[1] = fixed(d.max, 5);
      row[2] = fixed(d.mean, 5);
      row[3] = fixed(100 * d.same_best, 1) + " %";
    } catch (const Error& error) {
      row[4] = cat("not possible: ", error.what());
    }
    table.add(row);
  }
  return cat("Drift of the logits from base and adapters before merging, in fp32, over ",
             ids.size(), " texts, on ", device_name(device.device), "\n", table.text());
}

int run_merge(const Arguments& arguments) {
  if (arguments.positionals.empty()) throw UsageError("no adapter given");
  check_output(arguments);
  ThreadPool threads(static_cast<int>(arguments.integer("threads", 0, 0, 4096)));
  const Target& target = target_of(arguments);
  ConvertOptions options{.base = target.base,
                         .four_bit = target.four_bit,
                         .trained = base_options_of(arguments),
                         .dtype = dtype_of(arguments)};
  for (const std::string& text : arguments.positionals) {
    options.adapters.push_back(weighted_adapter_of(text));
  }
  const Backend backend(find_device(arguments.text("device", "auto"), false), false);
  Context device{.threads = &threads};
  backend.attach(device, DType::kF32);
  const ConvertedTensors model(arguments.text("model"), options, device);
  write_converted(arguments, model);
  Table table("ll");
  table.add({"wrote", arguments.text("output")});
  table.add({"merged", cat(human_count(model.n_merged()), " linear layers, onto ", target.name,
                           ": ", target.what)});
  std::cout << table.text() << "\n";
  if (!arguments.has("no_drift")) std::cout << drift_text(arguments, options, device);
  return 0;
}

}  // namespace

Command merge_command() {
  return {.name = "merge",
          .summary = "adapters merged into the base: a plain model folder",
          .positionals = "ADAPTER[:WEIGHT] ...",
          .max_positionals = -1,
          .takes_settings = false,
          .description =
              "Adds adapters to the weights of a model folder and writes a new one that needs no\n"
              "adapter. Several are added up, each times its WEIGHT (1). What they are added to:\n"
              "  trained   the weights that training saw, quantized (as the options below say)\n"
              "            and decoded again; the merged model is what was trained\n"
              "  original  the folder's own float weights\n"
              "  4bit      as trained, and then quantized again: rounding may erase small changes\n"
              "Prints for each how far its logits are from those before merging.",
          .options = {{"model", "DIR", "the base model's folder", true},
                      {"output", "DIR", "the new folder", true},
                      {"onto", "WHAT", "trained (default), original or 4bit"},
                      {"dtype", "TYPE",
                       "of merged float weights: float32, float16 or "
                       "bfloat16; default: as stored"},
                      {"bits", "4|16|32", "of the base in training (4)"},
                      {"quant_type", "nf4|fp4", "code of the weights (nf4)"},
                      {"double_quant", "true|false", "quantize the block scales too (true)"},
                      {"quant_block_size", "N", "weights that share a scale (64)"},
                      {"texts", "FILE",
                       "measure on the first 32 lines of a file, 64 tokens "
                       "of each; default: four English sentences"},
                      {"no_drift", nullptr, "do not measure"},
                      {"device", "NAME",
                       "auto (default: a GPU if there is one), cpu, cuda or cuda:N; the CPU's "
                       "bytes are the same on every machine"},
                      {"threads", "N", "CPU threads; 0: all"}},
          .example = "qlora-engine merge --model examples/tiny-mlm --output merged demo",
          .run = run_merge};
}

}  // namespace qe::tools
