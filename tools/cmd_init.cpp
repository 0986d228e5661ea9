// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <algorithm>
#include <iostream>

#include "engine/model/weight_loader.h"
#include "engine/train/trainer.h"
#include "formats/atomic_write.h"
#include "formats/dataset/dataset_files.h"
#include "formats/mapped_file.h"
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/machine.h"
#include "tools/progress.h"
#include "tools/starting_config.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

constexpr int64_t kTokenizedRows = 2000, kCountedRows = 1'000'000;
constexpr double kShareOfMemory = 0.8;  // what a run may plan with; others live there too

bool ends_in_txt(const std::string& file) {
  return file.ends_with(".txt") || file.ends_with(".txt.gz") || file.ends_with(".txt.zst");
}

/// Tokens of a row with its special tokens.
int64_t length_of(const Record& row, const Tokenizer& tokenizer) {
  if (!row.input_ids.empty()) return static_cast<int64_t>(row.input_ids.size());
  const int64_t of_text = static_cast<int64_t>(tokenizer.encode(row.text, {}).ids.size());
  if (!row.pair) return of_text;
  return of_text + static_cast<int64_t>(tokenizer.encode(*row.pair, {}).ids.size()) - 1;
}

void read_rows(const std::string& name, const Tokenizer& tokenizer, StartingFacts& facts) {
  const std::vector<std::string> files = dataset_files(name);
  facts.plain_lines = std::all_of(files.begin(), files.end(), ends_in_txt);
  facts.n_special = static_cast<int64_t>(tokenizer.encode("", {}).ids.size());
  int64_t bytes_seen = 0, bytes_tokenized = 0, tokens = 0;
  read_files(files, {}, [&](Record&& row, const std::string&) {
    if (row.input_ids.empty() && row.text.find_first_not_of(" \t\r\n") == std::string::npos) {
      return true;  // a blank row becomes nothing
    }
    const auto n_bytes = static_cast<int64_t>(row.text.size() + (row.pair ? row.pair->size() : 0) +
                                              row.input_ids.size());
    bytes_seen += n_bytes;
    ++facts.n_rows;
    facts.has_pairs = facts.has_pairs || row.pair.has_value();
    facts.has_ids = facts.has_ids || !row.input_ids.empty();
    if (facts.n_rows <= kTokenizedRows) {
      facts.lengths.push_back(length_of(row, tokenizer));
      tokens += facts.lengths.back();
      bytes_tokenized = bytes_seen;
    }
    facts.all_rows = facts.n_rows < kCountedRows;
    return facts.all_rows;
  });
  QE_CHECK(facts.n_rows > 0, name, ": there is no text in it");
  std::sort(facts.lengths.begin(), facts.lengths.end());
  facts.n_tokens =
      static_cast<int64_t>(static_cast<double>(tokens) * static_cast<double>(bytes_seen) /
                           static_cast<double>(std::max<int64_t>(bytes_tokenized, 1)));
}

void read_model(const std::string& folder, const Tokenizer& tokenizer, StartingFacts& facts) {
  const EncoderConfig encoder = read_encoder_config(folder);
  facts.max_length = encoder.max_length();
  const int64_t limit = tokenizer.model_max_length();
  if (limit > 0) facts.max_length = std::min(facts.max_length, limit);
  ThreadPool threads(1);
  Context ctx{.threads = &threads};
  ctx.planning = true;
  Memory memory(ctx);
  const MaskedLm model = load_masked_lm(folder, BaseOptions{}, ctx, memory);
  facts.n_parameters = model.n_parameters;
  facts.stored_quantization = model.stored_quantization;
}

std::string read_machine(const Device& device, StartingFacts& facts) {
  facts.on_gpu = device.kind == DeviceKind::kCuda;
  const Machine machine = describe_machine();
  facts.memory_bytes = facts.on_gpu
                           ? static_cast<int64_t>(cuda::device_info(device.index).free_bytes)
                           : machine.memory_available;
  return cat(facts.on_gpu ? backend_name(device) : "CPU", ", ",
             human_bytes(static_cast<uint64_t>(facts.memory_bytes)), " free");
}

/// The choices as a configuration: what is not a text as JSON, as on a command line.
RunConfig config_of(const std::vector<Choice>& choices) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const Choice& choice : choices) {
    settings.emplace_back(
        choice.key, choice.value.is_string() ? choice.value.as_string() : choice.value.dump());
  }
  return read_run_config("", settings);
}

/// What a run of these choices takes of the device. A few rows stand for all: memory depends on the
/// longest only.
int64_t planned_bytes(const std::vector<Choice>& choices, StopToken stop) {
  RunConfig config = config_of(choices);
  config.max_train_samples = config.max_eval_samples = kTokenizedRows;
  config.output_dir.clear();
  const Trainer trainer(config, Trainer::Task::kTrain, /*planning=*/true, Log(), stop);
  return static_cast<int64_t>(device_bytes(trainer.memory(), trainer.device()));
}

/// Halves the micro-batch until the run fits.
void fit_batch(std::vector<Choice>& choices, const StartingFacts& facts, StopToken stop) {
  const auto choice = [&](const char* key) {
    return std::find_if(choices.begin(), choices.end(),
                        [&](const Choice& c) { return c.key == key; });
  };
  const auto batch = choice("per_device_train_batch_size");
  const auto accumulation = choice("gradient_accumulation_steps");
  const auto limit = static_cast<int64_t>(kShareOfMemory * static_cast<double>(facts.memory_bytes));
  for (;; batch->value = batch->value.as_int() / 2,
          accumulation->value = accumulation->value.as_int() * 2) {
    const bool smallest = batch->value.as_int() == 1;
    int64_t needed = 0;
    try {
      needed = planned_bytes(choices, stop);
    } catch (const Error&) {
      if (smallest) throw;
      continue;
    }
    const std::string size = human_bytes(static_cast<uint64_t>(needed));
    if (needed <= limit || smallest) {
      batch->reason += cat("; the run takes ", size, needed <= limit ? "" : ": more than is free");
      return;
    }
  }
}

std::string table_of(const std::vector<Choice>& choices) {
  Table table("lll");
  for (const Choice& choice : choices) {
    table.add({choice.key, choice.value.dump(), choice.reason});
  }
  return table.text(2);
}

int run_init(const Arguments& arguments) {
  const std::string output = arguments.text("output", "config.json");
  QE_CHECK(!file_exists(output) || arguments.has("force"), output,
           ": it exists already; --force writes over it");
  const std::atomic<bool>& stop = stop_on_signals();
  const std::string model = arguments.text("model"), train = arguments.text("train");
  const Tokenizer tokenizer = Tokenizer::load(model);
  StartingFacts facts{.own_validation = arguments.has("validation")};
  read_model(model, tokenizer, facts);
  read_rows(train, tokenizer, facts);
  const std::string device = arguments.text("device", "auto");
  const std::string machine = read_machine(find_device(device, false), facts);

  std::vector<Choice> choices{{"model_name_or_path", model, "given"},
                              {"train_file", train, "given"}};
  const auto add = [&](const char* key, const char* option) {
    if (arguments.has(option)) choices.push_back({key, arguments.text(option), "given"});
  };
  add("validation_file", "validation");
  add("device", "device");
  choices.push_back({"output_dir", arguments.text("output_dir", "out"),
                     arguments.has("output_dir") ? "given" : "a folder for everything"});
  for (Choice& choice : starting_choices(facts)) choices.push_back(std::move(choice));
  fit_batch(choices, facts, &stop);

  Json json = Json::object();
  for (const Choice& choice : choices) json.set(choice.key, choice.value);
  write_file_atomically(output, json.dump(2) + "\n");
  Table about("ll");
  about.add({"model", cat(model, ": ", human_count(facts.n_parameters), " parameters, up to ",
                          facts.max_length, " tokens")});
  about.add({"data", cat(train, ": ", human_count(facts.n_rows), facts.all_rows ? "" : " and more",
                         " rows, about ", human_count(facts.n_tokens), " tokens")});
  about.add({"machine", machine});
  std::cout << about.text() << "\nWhat is in " << output << ", and why\n"
            << table_of(choices) << "\nNext: qlora-engine train " << output << " --dry-run\n";
  return 0;
}

}  // namespace

Command init_command() {
  return {.name = "init",
          .summary = "a first configuration for a model, a dataset and this machine",
          .positionals = "",
          .max_positionals = 0,
          .takes_settings = false,
          .description =
              "Reads the model's headers, the rows of the dataset (the first 2,000 are tokenized)\n"
              "and what this machine has free, and writes a configuration to start with. Prints\n"
              "every choice with its reason. They are rules of thumb: all can be changed.",
          .options = {{"model", "DIR", "model folder", true},
                      {"train", "FILE", "texts to train on, as train_file", true},
                      {"validation", "FILE", "texts to evaluate on; default: 5 % of the others"},
                      {"output", "FILE", "the configuration (config.json)", false, 'o'},
                      {"output_dir", "DIR", "what train will write to (out)"},
                      {"device", "NAME", "auto, cpu, cuda or cuda:N (auto)"},
                      {"force", nullptr, "write over a file that exists"}},
          .example = "qlora-engine init --model examples/tiny-mlm --train examples/kjv/train.txt",
          .run = run_init};
}

}  // namespace qe::tools
