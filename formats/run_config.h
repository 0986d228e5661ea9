// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The run configuration: the flat JSON of run_mlm.py and qlora.py users, with the origin of every
// value. Every key is one row of the table in run_config_keys.cpp; defaults are the initializers
// below.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "formats/lora_config.h"

namespace qe {

/// Values after all defaults were applied. Names and meanings are those of run_mlm.py,
/// TrainingArguments and qlora.py; what is ours only is marked (ours).
struct RunConfig {
  // Model and data
  std::string model_name_or_path;
  std::string adapter_name_or_path;  ///< (ours) eval, fill-mask: an adapter folder; "" = base alone
  std::string train_file;
  std::string validation_file;
  std::string text_column_name;       ///< (ours) "" = "text", else the first text column
  std::string text_pair_column_name;  ///< (ours) "" = "text_pair" if there is one
  double validation_split_percentage = 5;
  int64_t max_seq_length = 0;  ///< 0 = tokenizer.model_max_length, capped at 1024
  bool line_by_line = false;
  std::string chunk_special_tokens = "rows";  ///< (ours) rows: as run_mlm.py; chunks
  int64_t max_train_samples = 0;              ///< 0 = all
  int64_t max_eval_samples = 0;
  std::string cache_dir;         ///< of tokenized data; "" = output_dir/token_cache
  bool overwrite_cache = false;  ///< tokenize again
  double mlm_probability = 0.15;
  std::optional<double> mlm_probability_end;        ///< (ours) absent: it does not change
  std::string mlm_probability_schedule = "linear";  ///< (ours) linear, cosine
  double mask_replace_prob = 0.8;
  double random_replace_prob = 0.1;
  bool whole_word_mask = false;   ///< sets the two above to 1 and 0
  bool wwm_compat = false;        ///< (ours) words as transformers counts them
  bool span_mask = false;         ///< (ours) see engine/train/mlm_collator.h
  double span_geometric_p = 0.2;  ///< (ours)
  int64_t span_max_words = 10;    ///< (ours)

  // Quantization and LoRA
  int64_t bits = 4;                ///< 4, or 16 and 32: the stored weights
  std::string quant_type = "nf4";  ///< "nf4" or "fp4"
  bool double_quant = true;
  int64_t quant_block_size = 64;  ///< (ours)
  int64_t lora_r = 64;
  double lora_alpha = 16;
  double lora_dropout = 0.0;
  // As peft takes them; see lora_config_of.
  bool use_rslora = false;
  bool use_dora = false;
  Json init_lora_weights = true;  ///< true, false or a name
  Json loftq_config = Json::object();
  Json target_modules =
      "all-linear";          ///< a preset, a list of path endings, or a regular expression
  Json exclude_modules;      ///< a list or a regular expression
  Json layers_to_transform;  ///< an integer or a list
  Json layers_pattern;       ///< a text or a list
  Json rank_pattern = Json::object();   ///< pattern -> rank
  Json alpha_pattern = Json::object();  ///< pattern -> alpha
  std::string bias = "none";            ///< none, all, lora_only
  Json modules_to_save;                 ///< a name or a list
  Json trainable_token_indices;         ///< a list of ids, or module -> list

  // Training
  std::string output_dir;
  int64_t per_device_train_batch_size = 8;
  int64_t per_device_train_batch_tokens = 0;  ///< (ours) 0: batches are of sequences
  int64_t per_device_eval_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  double learning_rate = 5e-5;
  double weight_decay = 0.0;
  double loraplus_lr_ratio = 1.0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;
  double num_train_epochs = 3.0;
  int64_t max_steps = -1;
  std::string lr_scheduler_type = "linear";   ///< see engine/train/lr_schedule.h
  Json lr_scheduler_kwargs = Json::object();  ///< checked by LrSchedule
  double warmup_steps = 0;                    ///< < 1: a ratio of all steps
  double warmup_ratio = 0;
  std::string optim = "adamw_torch";  ///< see engine/train/optimizer.h
  double label_smoothing_factor = 0;
  double neftune_noise_alpha = 0;
  std::string loss_norm =
      "token";  ///< (ours) token: exact; microbatch: transformers 4's mean of means
  bool gradient_checkpointing = false;
  std::string train_sampling_strategy = "random";  ///< random, sequential, group_by_length
  bool dataloader_drop_last = false;
  uint64_t seed = 42;
  std::optional<int64_t> data_seed;  ///< of the order of samples; absent: seed
  bool fixed_eval_masks = true;      ///< (ours)

  // When
  std::string eval_strategy = "no";  ///< no, steps, epoch
  double eval_steps = 0;             ///< read_run_config replaces 0 by logging_steps
  double eval_delay = 0;             ///< updates, or epochs when eval_strategy is epoch
  bool eval_on_start = false;
  std::string save_strategy = "steps";  ///< no, steps, epoch, best
  double save_steps = 500;
  int64_t save_total_limit = 0;  ///< 0 = all
  bool load_best_model_at_end = false;
  std::string metric_for_best_model;      ///< "" = loss
  std::optional<bool> greater_is_better;  ///< absent: for accuracy only
  std::string logging_strategy = "steps";
  double logging_steps = 500;
  bool logging_first_step = false;
  Json report_to;                         ///< a name or a list; see reports_to_tensorboard
  std::string logging_dir;                ///< of event files; "" = a new folder in output_dir/runs
  int64_t early_stopping_patience = 0;    ///< (ours) evaluations; 0 = never
  double early_stopping_threshold = 0.0;  ///< (ours)
  int64_t max_bad_steps = 10;             ///< (ours) in a row; 0 = any number
  std::string on_bad_steps = "stop";      ///< (ours) stop, rewind
  int64_t loss_spike_window = 0;          ///< (ours) updates; 0 = spikes are not looked for
  double loss_spike_threshold = 3.0;      ///< (ours)
  std::string on_loss_spike = "warn";     ///< (ours) warn, rewind
  std::string resume = "auto";            ///< (ours) auto, no, or a checkpoint folder

  // Machine
  std::string device = "auto";  ///< (ours) auto, cpu, cuda or cuda:N
  /// (ours) auto, fp32, bf16 or fp16: what a GPU computes in; the CPU computes in fp32. bf16 and
  /// fp16 of TrainingArguments and qlora.py are written here.
  std::string compute_dtype = "auto";
  bool deterministic = true;  ///< (ours) GPU: no kernel is chosen by timing
  bool bf16 = false;
  bool fp16 = false;
  int64_t threads = 0;       ///< (ours) CPU threads; 0 = all
  double max_memory_MB = 0;  ///< of the device, in 10^6 bytes; 0 = what is free
  Json resident_weights =
      Json("auto");                  ///< (ours) true, false, "auto"; planned: a number of layers
  Json paged_states = Json("auto");  ///< (ours) true, false, "auto": as optim's name says

  /// Where each setting came from, in declaration order, for `plan`.
  struct Origin {
    std::string key;
    std::string value;   ///< as JSON text
    std::string origin;  ///< "default (run_mlm.py)", "config.json", "--key" ...
  };
  std::vector<Origin> origins;
  std::vector<std::string> notes;  ///< one line per accepted key that does nothing here, and why
};

/// Reads `config_path` ("" = none) and then `overrides` (key, value text as given on a command
/// line: numbers are parsed strictly, lists are separated by commas). null in the file means "not
/// given". `"preset": "qlora"` puts qlora.py's defaults below both. Errors: unknown key (names the
/// nearest known one), ill-typed or out-of-range value (names file, key, what was expected), keys
/// and values that are refused (with the reason and what to use instead).
RunConfig read_run_config(const std::string& config_path,
                          const std::vector<std::pair<std::string, std::string>>& overrides);

/// Whether report_to asks for event files: "tensorboard", "all", or a list with one of them.
bool reports_to_tensorboard(const RunConfig& config);

/// The LoRA settings of a run. target_modules may still be a preset (resolve_target_preset). Throws
/// Error as read_lora_config does.
AdapterConfig lora_config_of(const RunConfig& config);

/// One known key, for --help. All text comes from the one table in run_config_keys.cpp.
struct RunConfigKey {
  std::string key;
  std::string type;           ///< "text", "number", "integer", "true|false", "list", or the choices
  std::string default_value;  ///< as JSON text; "" for a text that is empty by default
  std::string default_from;   ///< whose default it is: "run_mlm.py", "qlora.py", "qlora-engine"
  std::string help;
};
/// All settings in declaration order.
std::vector<RunConfigKey> run_config_keys();

}  // namespace qe
