// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/training_state.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <span>

#include "formats/atomic_write.h"
#include "formats/hash.h"
#include "formats/manifest.h"
#include "formats/safetensors.h"

namespace qe {
namespace fs = std::filesystem;
namespace {

// All checkpoint folders of output_dir, by ascending step.
std::vector<std::pair<int64_t, std::string>> checkpoints(const std::string& output_dir) {
  std::vector<std::pair<int64_t, std::string>> found;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(output_dir, missing)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory() || !name.starts_with(kCheckpointPrefix)) continue;
    const char* const digits = name.data() + std::strlen(kCheckpointPrefix);
    const char* const end = name.data() + name.size();
    int64_t step = 0;
    const auto parsed = std::from_chars(digits, end, step);
    if (parsed.ec == std::errc() && parsed.ptr == end) found.emplace_back(step, entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void require_same_arguments(const Json& stored, const Json& now, const std::string& file) {
  const auto text_of = [](const Json& arguments, const std::string& key) {
    const Json* value = arguments.find(key);
    return value ? value->dump(-1, true) : std::string("nothing");
  };
  const auto compare = [&](const std::string& key) {
    const std::string old_text = text_of(stored, key);
    const std::string new_text = text_of(now, key);
    QE_CHECK(old_text == new_text, file, ": the checkpoint was made with ", key, " = ", old_text,
             ", now it is ", new_text,
             "; use the same settings and data, another output_dir, or --resume no");
  };
  for (const auto& [key, value] : now.members()) compare(key);
  for (const auto& [key, value] : stored.members()) compare(key);
}

void read_optimizer(const std::string& path, const LoraAdapter& adapter, Optimizer& optimizer) {
  const SafetensorsFile file(path);
  for (const auto& [name, shape, state] : named_states(adapter, optimizer)) {
    const auto found = file.tensors().find(name);
    QE_CHECK(found != file.tensors().end(), path, ": missing tensor \"", name, "\"");
    const StoredTensor& tensor = found->second;
    QE_CHECK(tensor.dtype == state->dtype && tensor.shape == shape, path, ": tensor \"", name,
             "\": expected ", dtype_name(state->dtype), " and ", state->size, " values");
    optimizer.write_state(*state, tensor.bytes.data());
  }
}

}  // namespace

Json trainer_state_json(const TrainingState& state, const Json& arguments,
                        const RunProgress& progress) {
  const auto argument = [&](const char* key) {
    const Json* value = arguments.find(key);
    return value ? *value : Json();
  };
  const std::string& best = progress.best_checkpoint;
  return Json::object({{"best_global_step", state.best_step > 0 ? Json(state.best_step) : Json()},
                       {"best_metric", state.best_metric ? Json(*state.best_metric) : Json()},
                       {"best_model_checkpoint", best.empty() ? Json() : Json(best)},
                       {"epoch", progress.epoch},
                       {"eval_steps", progress.eval_steps},
                       {"global_step", state.step},
                       {"is_hyper_param_search", false},
                       {"is_local_process_zero", true},
                       {"is_world_process_zero", true},
                       {"log_history", state.log_history},
                       {"logging_steps", progress.logging_steps},
                       {"max_steps", progress.total_steps},
                       {"num_input_tokens_seen", state.n_tokens_seen},
                       {"num_train_epochs", argument("num_train_epochs")},
                       {"qlora_engine", Json::object({{"loss_sum", state.loss_sum},
                                                      {"n_losses", state.n_losses},
                                                      {"logged_loss_sum", state.logged_loss_sum},
                                                      {"logged_n_losses", state.logged_n_losses},
                                                      {"n_not_better", state.n_not_better},
                                                      {"watch", state.watch},
                                                      {"logged_step", state.logged_step},
                                                      {"metrics_lines", state.metrics_lines},
                                                      {"loss_scale", state.loss_scale},
                                                      {"finite_updates", state.finite_updates},
                                                      {"evaluation_due", state.evaluation_due},
                                                      {"kernel_choices", state.choices},
                                                      {"lr_schedule", state.lr_schedule}})},
                       {"save_steps", progress.save_steps},
                       {"stateful_callbacks", Json::object()},
                       {"total_flos", 0},
                       {"train_batch_size", argument("per_device_train_batch_size")},
                       {"trial_name", Json()},
                       {"trial_params", Json()}});
}

std::string write_checkpoint(const std::string& output_dir, const TrainingState& state,
                             const Json& arguments, const RunProgress& progress,
                             const TrainingSnapshot& snapshot,
                             const std::vector<std::string>& tokenizer_files) {
  const std::string folder = checkpoint_folder(output_dir, state.step);
  const std::string settings = arguments.dump(2, true) + "\n";
  write_folder_atomically(folder, [&](const std::string& temporary) {
    write_adapter(temporary, snapshot.adapter_config(), snapshot.adapter());
    copy_files(tokenizer_files, temporary);
    write_safetensors(temporary + "/optimizer.safetensors", snapshot.optimizer_states());
    write_file_atomically(temporary + "/training_args.json", settings);
    write_file_atomically(temporary + "/trainer_state.json",
                          trainer_state_json(state, arguments, progress).dump(2, true) + "\n");
    write_manifest(temporary,
                   Json::object({{"step", state.step},
                                 {"config_hash", hash_bytes(std::as_bytes(std::span(settings)))}}));
  });
  return folder;
}

TrainingState read_checkpoint(const std::string& folder, const Json& arguments,
                              LoraAdapter& adapter, Optimizer& optimizer) {
  const std::string args_path = folder + "/training_args.json";
  require_same_arguments(Json::parse_file(args_path), arguments, args_path);
  const Json stored = Json::parse_file(folder + "/trainer_state.json");
  const Json& ours = stored.at("qlora_engine");
  TrainingState state{.step = stored.at("global_step").as_int(),
                      .loss_sum = ours.at("loss_sum").as_double(),
                      .n_losses = ours.at("n_losses").as_int(),
                      .logged_loss_sum = ours.at("logged_loss_sum").as_double(),
                      .logged_n_losses = ours.at("logged_n_losses").as_int(),
                      .logged_step = ours.at("logged_step").as_int(),
                      .n_tokens_seen = stored.at("num_input_tokens_seen").as_int(),
                      .metrics_lines = ours.at("metrics_lines").as_int(),
                      .loss_scale = static_cast<float>(ours.at("loss_scale").as_double()),
                      .finite_updates = static_cast<int32_t>(ours.at("finite_updates").as_int()),
                      .choices = ours.at("kernel_choices").as_string(),
                      .log_history = stored.at("log_history"),
                      .lr_schedule = ours.at("lr_schedule")};
  state.n_not_better = ours.at("n_not_better").as_int();
  state.watch = ours.at("watch");
  state.evaluation_due = ours.at("evaluation_due").as_bool();
  if (const Json& best = stored.at("best_metric"); !best.is_null()) {
    state.best_metric = best.as_double();
    state.best_step = stored.at("best_global_step").as_int();
  }
  adapter.assign(read_adapter(folder), folder);
  read_optimizer(folder + "/optimizer.safetensors", adapter, optimizer);
  return state;
}

std::optional<std::string> newest_checkpoint(const std::string& output_dir, const Log& log,
                                             int64_t up_to) {
  auto all = checkpoints(output_dir);
  for (; !all.empty(); all.pop_back()) {
    if (all.back().first > up_to) continue;
    const std::string& folder = all.back().second;
    try {
      check_manifest(folder);
      return folder;
    } catch (const Error& error) {
      log.warn(cat("passed over ", folder, ", which is broken: ", error.what()));
    }
  }
  return std::nullopt;
}

std::string resumed_folder(const RunConfig& config, const Log& log) {
  if (config.resume == "no") return "";
  if (config.resume == "auto") return newest_checkpoint(config.output_dir, log).value_or("");
  check_manifest(config.resume);
  return config.resume;
}

std::string checkpoint_folder(const std::string& output_dir, int64_t step) {
  return output_dir + "/" + kCheckpointPrefix + std::to_string(step);
}

void prune_checkpoints(const std::string& output_dir, int64_t keep, int64_t step,
                       int64_t best_step) {
  auto all = checkpoints(output_dir);
  std::stable_partition(all.begin(), all.end(), [&](const auto& c) { return c.first > step; });
  int64_t left = static_cast<int64_t>(all.size());
  for (const auto& [of_step, folder] : all) {
    if (left <= keep) return;
    if (of_step == step || of_step == best_step) continue;
    remove_folder(folder);
    --left;
  }
}

void copy_files(const std::vector<std::string>& files, const std::string& folder) {
  for (const std::string& file : files) {
    const MappedFile source(file);
    write_file_atomically(folder + "/" + fs::path(file).filename().string(),
                          [&](const Append& append) { append(source.bytes()); });
  }
}

}  // namespace qe
