// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/run_config_keys.h"

namespace qe::run_config {
namespace {

using C = RunConfig;

// Whose default a setting has.
constexpr const char* kMlm = "run_mlm.py";
constexpr const char* kQlora = "qlora.py";
constexpr const char* kPeft = "peft";
constexpr const char* kOurs = "qlora-engine";

constexpr Allowed between(double low, double high) { return {.low = low, .high = high}; }
constexpr Allowed count(double low) { return {.low = low, .high = 1e9}; }
constexpr Allowed positive() { return {.low = 0, .low_open = true}; }
constexpr Allowed ratio_below_one() { return {.low = 0, .high = 1, .high_open = true}; }
constexpr Allowed one_of(const char* choices) { return {.choices = choices}; }
// A number of steps, or below 1 a ratio of all steps.
constexpr Allowed steps(bool may_be_zero) {
  return {.low = 0, .high = 1e9, .low_open = !may_be_zero, .whole_above_one = true};
}

// clang-format off
constexpr Setting kSettings[] = {
    // Model and data
    {"model_name_or_path", &C::model_name_or_path, kMlm,
     "folder of the model: config.json, *.safetensors or pytorch_model.bin, tokenizer.json"},
    {"adapter_name_or_path", &C::adapter_name_or_path, kOurs,
     "folder of a LoRA adapter to evaluate; empty: the base alone"},
    {"train_file", &C::train_file, kMlm,
     "training text: .txt (a line is a row), .jsonl, .json, .csv, .tsv; each also .gz or .zst; a "
     "folder or a pattern (data/*.txt): its files by name"},
    {"validation_file", &C::validation_file, kMlm,
     "evaluation text; empty: the first rows of train_file, see validation_split_percentage"},
    {"text_column_name", &C::text_column_name, kOurs,
     "column of the text; empty: \"text\", else the first column of texts"},
    {"text_pair_column_name", &C::text_pair_column_name, kOurs,
     "column of a second text (line_by_line only); empty: \"text_pair\" if there is one"},
    {"validation_split_percentage", &C::validation_split_percentage, kMlm,
     "share of train_file held out when there is no validation_file",
     {.low = 0, .high = 100, .high_open = true}},
    {"max_seq_length", &C::max_seq_length, kMlm,
     "tokens per sequence; 0: the tokenizer's maximum, at most 1024", between(0, 1 << 20)},
    {"line_by_line", &C::line_by_line, kMlm,
     "every row is a sequence (truncated); else rows are joined and cut into full sequences"},
    {"chunk_special_tokens", &C::chunk_special_tokens, kOurs,
     "joined rows: special tokens around every row, as run_mlm.py, or around every chunk",
     one_of("rows|chunks")},
    {"max_train_samples", &C::max_train_samples, kMlm,
     "use only so many training sequences; 0: all", count(0)},
    {"max_eval_samples", &C::max_eval_samples, kMlm,
     "use only so many evaluation sequences; 0: all", count(0)},
    {"cache_dir", &C::cache_dir, kMlm,
     "folder of tokenized data, found again by its content; empty: output_dir/token_cache"},
    {"overwrite_cache", &C::overwrite_cache, kMlm, "tokenize again what is in the cache"},
    {"mlm_probability", &C::mlm_probability, kMlm,
     "share of tokens to predict", {.low = 0, .high = 1, .low_open = true}},
    {"mlm_probability_end", &C::mlm_probability_end, kOurs,
     "share of tokens to predict at the last update, from mlm_probability at the first; null: it "
     "stays. Evaluation always uses mlm_probability", {.low = 0, .high = 1, .low_open = true}},
    {"mlm_probability_schedule", &C::mlm_probability_schedule, kOurs,
     "how it gets from mlm_probability to mlm_probability_end: in a line, or half a cosine wave",
     one_of("linear|cosine")},
    {"mask_replace_prob", &C::mask_replace_prob, kMlm,
     "of those, the share replaced by the mask token", between(0, 1)},
    {"random_replace_prob", &C::random_replace_prob, kMlm,
     "of those, the share replaced by a random token; the rest stays", between(0, 1)},
    {"whole_word_mask", &C::whole_word_mask, kMlm,
     "predict words with all their tokens; every one of them becomes the mask token"},
    {"wwm_compat", &C::wwm_compat, kOurs,
     "whole_word_mask, span_mask: words as transformers 5 counts them, tokens that touch, instead of "
     "the tokenizer's own"},
    {"span_mask", &C::span_mask, kOurs,
     "predict spans of whole words (SpanBERT), until mlm_probability of a sequence's tokens are; a "
     "span becomes mask tokens, random ones, or stays as a whole"},
    {"span_geometric_p", &C::span_geometric_p, kOurs,
     "span_mask: a span ends after each word with this probability", {.low = 0, .high = 1, .low_open = true}},
    {"span_max_words", &C::span_max_words, kOurs, "span_mask: words of the longest span",
     between(1, 1000)},

    // Quantization and LoRA
    {"bits", &C::bits, kQlora, "stored weights of the frozen base", one_of("4|16|32")},
    {"quant_type", &C::quant_type, kQlora, "code of the 4-bit weights", one_of("nf4|fp4")},
    {"double_quant", &C::double_quant, kQlora, "quantize the block scales too (8 bits)"},
    {"quant_block_size", &C::quant_block_size, kOurs, "weights that share a scale",
     {.low = 32, .high = 4096, .power_of_two = true}},
    {"lora_r", &C::lora_r, kQlora, "rank of the adapters", between(1, 1 << 16)},
    {"lora_alpha", &C::lora_alpha, kQlora, "adapters are scaled by lora_alpha / lora_r",
     positive()},
    {"lora_dropout", &C::lora_dropout, kQlora, "dropout on the adapters' input",
     ratio_below_one()},
    {"use_rslora", &C::use_rslora, kPeft, "scale by lora_alpha / sqrt(lora_r) instead"},
    {"use_dora", &C::use_dora, kPeft,
     "DoRA: the rows of adapted weights also have magnitudes that are trained"},
    {"init_lora_weights", &C::init_lora_weights, kPeft,
     "A as torch's Linear and B zero; gaussian: A normal with deviation 1 / lora_r; false: both "
     "random; orthogonal: both random, with no product; pissa, pissa_niter_N, olora: taken out of "
     "the base; loftq: what 4 bits lose of it",
     {.choices = "true|false|gaussian|orthogonal|pissa|pissa_niter_N|olora|loftq",
      .shape = Shape::kFlagOrText}},
    {"loftq_config", &C::loftq_config, kPeft, "loftq_bits (4) and loftq_iter (1) of loftq"},
    {"target_modules", &C::target_modules, kOurs,
     "what is adapted: a list of path endings such as query,value; a regular expression for whole "
     "paths; or all-linear, qlora, attention, peft-default",
     {.choices = kTargetPresets, .shape = Shape::kModules}},
    {"exclude_modules", &C::exclude_modules, kPeft,
     "what is not: a list of path endings, or a regular expression", {.shape = Shape::kModules}},
    {"layers_to_transform", &C::layers_to_transform, kPeft,
     "adapt these layers only, counted from 0; for lists of target_modules",
     {.shape = Shape::kIntegers}},
    {"layers_pattern", &C::layers_pattern, kPeft,
     "the name before a layer's number, where it is not the first number of the path",
     {.shape = Shape::kNames}},
    {"rank_pattern", &C::rank_pattern, kPeft,
     "exceptions from lora_r, for example {\"attention.self.query\": 8}"},
    {"alpha_pattern", &C::alpha_pattern, kPeft, "exceptions from lora_alpha"},
    {"bias", &C::bias, kPeft,
     "biases that are trained as well: of the whole model (norms and decoder included), or of the "
     "adapted layers", one_of("none|all|lora_only")},
    {"modules_to_save", &C::modules_to_save, kPeft,
     "modules that are trained and saved in full, by the ends of their paths: linear layers, norms, "
     "the head, embeddings; they are not in 4 bits", {.shape = Shape::kNames}},
    {"trainable_token_indices", &C::trainable_token_indices, kPeft,
     "ids of tokens whose rows of the word table, and of the decoder tied to it, are trained",
     {.shape = Shape::kTokens}},

    // Training
    {"output_dir", &C::output_dir, kMlm,
     "folder that gets the adapter, checkpoints and metrics"},
    {"per_device_train_batch_size", &C::per_device_train_batch_size, kMlm,
     "sequences per forward pass in training", between(1, 1 << 20)},
    {"per_device_train_batch_tokens", &C::per_device_train_batch_tokens, kOurs,
     "tokens per forward pass in training, instead: as many sequences, in their order, as have no "
     "more; 0: per_device_train_batch_size counts", between(0, 1 << 26)},
    {"per_device_eval_batch_size", &C::per_device_eval_batch_size, kMlm,
     "sequences per forward pass in evaluation", between(1, 1 << 20)},
    {"gradient_accumulation_steps", &C::gradient_accumulation_steps, kMlm,
     "forward passes per update", between(1, 1 << 20)},
    {"learning_rate", &C::learning_rate, kMlm, "peak learning rate", between(0, 1e6)},
    {"weight_decay", &C::weight_decay, kMlm, "decoupled weight decay, not of biases and norms",
     between(0, 1e6)},
    {"loraplus_lr_ratio", &C::loraplus_lr_ratio, kPeft,
     "LoRA+: learning rate of B, biases, norms and magnitudes, in learning rates; 1: the same",
     {.low = 0, .high = 1e6, .low_open = true}},
    {"adam_beta1", &C::adam_beta1, kMlm, "decay of the first moment", ratio_below_one()},
    {"adam_beta2", &C::adam_beta2, kMlm, "decay of the second moment", ratio_below_one()},
    {"adam_epsilon", &C::adam_epsilon, kMlm, "added to the denominator", positive()},
    {"max_grad_norm", &C::max_grad_norm, kMlm, "clip gradients to this norm; 0 or less: never"},
    {"num_train_epochs", &C::num_train_epochs, kMlm, "passes over the training data",
     {.low = 0, .high = 1e6, .low_open = true}},
    {"max_steps", &C::max_steps, kMlm, "updates in all; above 0 it overrides num_train_epochs",
     count(-1)},
    {"lr_scheduler_type", &C::lr_scheduler_type, kMlm, "learning rate over the run",
     one_of("linear|constant|constant_with_warmup|cosine|cosine_with_restarts|polynomial|"
            "inverse_sqrt|cosine_with_min_lr|cosine_warmup_with_min_lr|warmup_stable_decay|"
            "reduce_lr_on_plateau")},
    {"lr_scheduler_kwargs", &C::lr_scheduler_kwargs, kMlm,
     "the schedule's own settings, for example {\"num_cycles\": 2}; transformers' names"},
    {"warmup_steps", &C::warmup_steps, kMlm, "updates of warm-up; below 1: a ratio of all updates",
     steps(true)},
    {"warmup_ratio", &C::warmup_ratio, kMlm, "warm-up as a ratio, where warmup_steps is 0",
     between(0, 1)},
    {"optim", &C::optim, kMlm,
     "torch's or bitsandbytes' AdamW; 8bit: states of large matrices in 8 bits; paged: see plan",
     one_of("adamw_torch|adamw_torch_fused|adamw_bnb_32bit|paged_adamw|paged_adamw_32bit|"
            "adamw_bnb_8bit|adamw_8bit|paged_adamw_8bit")},
    {"label_smoothing_factor", &C::label_smoothing_factor, kMlm,
     "share of each label's weight spread over the whole vocabulary, in evaluation too",
     ratio_below_one()},
    {"neftune_noise_alpha", &C::neftune_noise_alpha, kMlm,
     "noise on the input embeddings in training, up to alpha / sqrt(tokens * hidden size) of each "
     "sequence; 0: none", between(0, 1e6)},
    {"loss_norm", &C::loss_norm, kOurs,
     "token: mean over all labels of an update; microbatch: mean of the micro-batches' means, as "
     "transformers 4", one_of("token|microbatch")},
    {"gradient_checkpointing", &C::gradient_checkpointing, kMlm,
     "recompute each layer in the backward pass: less memory, more time"},
    {"train_sampling_strategy", &C::train_sampling_strategy, kMlm,
     "order of the training sequences: shuffled every epoch, as in the file, or shuffled and then "
     "grouped by length", one_of("random|sequential|group_by_length")},
    {"dataloader_drop_last", &C::dataloader_drop_last, kMlm,
     "leave out an epoch's last batch when it is not full (evaluation always sees every row)"},
    {"data_seed", &C::data_seed, kMlm, "seed of the order of the training sequences; null: seed",
     between(0, 9e18)},
    {"seed", &C::seed, kMlm, "masks, dropout, order and adapter initialization derive from it",
     between(0, 9e18)},
    {"fixed_eval_masks", &C::fixed_eval_masks, kOurs,
     "every evaluation uses the same masks, so that losses can be compared"},

    // When
    {"eval_strategy", &C::eval_strategy, kMlm, "when to evaluate during training",
     one_of("no|steps|epoch")},
    {"eval_steps", &C::eval_steps, kMlm,
     "updates between evaluations; 0: logging_steps; below 1: a ratio of all updates",
     steps(true)},
    {"eval_delay", &C::eval_delay, kMlm,
     "no evaluation before so many updates (eval_strategy epoch: epochs)", between(0, 1e9)},
    {"eval_on_start", &C::eval_on_start, kMlm, "evaluate before the first update as well"},
    {"save_strategy", &C::save_strategy, kMlm,
     "when to write checkpoint-N folders; best: when an evaluation is the best so far",
     one_of("no|steps|epoch|best")},
    {"save_steps", &C::save_steps, kMlm,
     "updates between checkpoints; below 1: a ratio of all updates", steps(false)},
    {"save_total_limit", &C::save_total_limit, kMlm,
     "keep only the newest so many, and the best; 0: all", count(0)},
    {"load_best_model_at_end", &C::load_best_model_at_end, kMlm,
     "end with the adapter of the best checkpoint, not of the last update"},
    {"metric_for_best_model", &C::metric_for_best_model, kMlm,
     "what is best: loss (when empty), loss_hf, perplexity or accuracy; also what "
     "reduce_lr_on_plateau follows"},
    {"greater_is_better", &C::greater_is_better, kMlm, "null: for accuracy only"},
    {"logging_strategy", &C::logging_strategy, kMlm, "when to write log entries",
     one_of("no|steps|epoch")},
    {"logging_steps", &C::logging_steps, kMlm,
     "updates between log entries; below 1: a ratio of all updates", steps(false)},
    {"logging_first_step", &C::logging_first_step, kMlm, "log the first update as well"},
    {"report_to", &C::report_to, kMlm,
     "tensorboard or all: log entries also as event files that TensorBoard opens; a name or a list",
     {.choices = "none|all|tensorboard", .shape = Shape::kNames}},
    {"logging_dir", &C::logging_dir, kMlm,
     "folder of the event files; empty: output_dir/runs/ and date, time and host. A resumed run "
     "goes on in its folder"},
    {"early_stopping_patience", &C::early_stopping_patience, kOurs,
     "end after so many evaluations in a row without a better metric_for_best_model; 0: never",
     count(0)},
    {"early_stopping_threshold", &C::early_stopping_threshold, kOurs,
     "better means by more than this", between(0, 1e9)},
    {"max_bad_steps", &C::max_bad_steps, kOurs,
     "updates in a row whose loss or gradient is not finite; each is skipped and its batch kept in "
     "bad_batches.jsonl; 0: any number", count(0)},
    {"on_bad_steps", &C::on_bad_steps, kOurs,
     "at max_bad_steps: end the run, or go back to the newest checkpoint and on with the next batch",
     one_of("stop|rewind")},
    {"loss_spike_window", &C::loss_spike_window, kOurs,
     "look for losses above loss_spike_threshold times the mean of so many before; 0: do not",
     between(0, 100000)},
    {"loss_spike_threshold", &C::loss_spike_threshold, kOurs, "see loss_spike_window",
     between(1, 1e6)},
    {"on_loss_spike", &C::on_loss_spike, kOurs, "warn, or rewind as on_bad_steps does",
     one_of("warn|rewind")},
    {"resume", &C::resume, kOurs,
     "auto: continue from the newest checkpoint in output_dir; no: start anew; or a folder"},

    // Machine
    {"device", &C::device, kOurs, "auto: the first GPU, or the CPU where there is none; or cpu, "
     "cuda, cuda:1 ..."},
    {"compute_dtype", &C::compute_dtype, kOurs,
     "what a GPU computes in; auto: bf16, on old GPUs fp16. The CPU computes in fp32",
     one_of("auto|fp32|bf16|fp16|float32|bfloat16|float16")},
    {"deterministic", &C::deterministic, kOurs,
     "GPU: the same bits in every run; false: matrix products' algorithms are chosen by timing"},
    {"bf16", &C::bf16, kMlm, "the same as compute_dtype: bf16"},
    {"fp16", &C::fp16, kMlm, "the same as compute_dtype: fp16 (with a dynamic loss scale)"},
    {"max_memory_MB", &C::max_memory_MB, kQlora,
     "memory of the device that may be used, in MB or with a unit (8GB, 7500MiB); 0: on a GPU what "
     "is free", {.low = 0, .high = 1e12, .megabytes = true}},
    {"resident_weights", &C::resident_weights, kOurs,
     "GPU: hold 4-bit weights decoded as well, which is faster; auto: as many layers as fit. The "
     "results do not depend on it", {.choices = "true|false|auto", .shape = Shape::kFlagOrText}},
    {"paged_states", &C::paged_states, kOurs,
     "GPU: optimizer states live in host memory; auto: as optim says (paged_*), or to fit",
     {.choices = "true|false|auto", .shape = Shape::kFlagOrText}},
    {"threads", &C::threads, kOurs, "CPU threads; 0: all. The results do not depend on it",
     between(0, 4096)},
};

constexpr Alias kAliases[] = {
    {"activation_checkpointing", "gradient_checkpointing"},
    {"bnb_4bit_compute_dtype", "compute_dtype"},
    {"memory", "max_memory_MB"},
    {"bnb_4bit_quant_type", "quant_type"},
    {"bnb_4bit_use_double_quant", "double_quant"},
    {"dataset", "train_file"},
    {"evaluation_strategy", "eval_strategy"},
    {"per_gpu_eval_batch_size", "per_device_eval_batch_size"},
    {"per_gpu_train_batch_size", "per_device_train_batch_size"},
    {"r", "lora_r"},
    {"resume_from_checkpoint", "resume"},
    {"source_max_len", "max_seq_length"},
};

constexpr Translation kTranslations[] = {
    {"group_by_length", "true", "train_sampling_strategy", "group_by_length"},
    {"group_by_length", "false", nullptr, nullptr},
    {"load_in_4bit", "true", "bits", "4"},
    {"load_in_4bit", "false", "bits", "16"},
};

constexpr RefusedValue kRefusedValues[] = {
    {"bits", "8", "8-bit weights are not supported: use 4, or 16 to keep the base unquantized"},
    {"lr_scheduler_type", "greedy",
     "it follows the noise of single losses: use reduce_lr_on_plateau"},
    {"optim", "adamw_torch_8bit|adamw_torch_4bit|adamw_anyprecision|adamw_torch_npu_fused|"
     "adamw_torch_xla",
     "there is no torchao underneath: use adamw_bnb_8bit or adamw_torch"},
    {"optim",
     "sgd|adafactor|adagrad|rmsprop|adamw_hf|adamw_apex_fused|ademamix|ademamix_8bit|"
     "paged_ademamix_32bit|paged_ademamix_8bit|lion|lion_8bit|lion_32bit|paged_lion_8bit|"
     "paged_lion_32bit|rmsprop_bnb|rmsprop_bnb_8bit|rmsprop_bnb_32bit",
     "adapters are trained with AdamW here: use adamw_torch, paged_adamw_32bit or adamw_bnb_8bit"},
    {"init_lora_weights", "corda|eva|lora_ga|mica", "not supported: use true, pissa or olora"},
};

constexpr auto kNote = ForeignKey::Otherwise::kNote;
constexpr auto kRefuse = ForeignKey::Otherwise::kRefuse;
constexpr const char* kPairsOnly = "nothing but LoRA pairs is trained here";
constexpr const char* kPlainLora = "plain LoRA is what is trained here";
constexpr const char* kCommandSays = "the command (train, eval ...) says what is done";
constexpr const char* kNoDownload = "nothing is downloaded: give local folders and files";
constexpr const char* kNoHub = "nothing is uploaded";
constexpr const char* kNoTorch = "there is no torch underneath";
constexpr const char* kNoWorkers = "texts are tokenized in this process";
constexpr const char* kOneDevice = "this release trains on one device";
constexpr const char* kNoGeneration = "a masked language model does not generate";
constexpr const char* kPlanned = "memory is planned from the settings: see the plan command";
constexpr const char* kPacked = "there is no padding here: batches are packed";
constexpr const char* kComputeType = "compute_dtype says what is computed in";
constexpr const char* kLogSink = "the log goes to stderr and to trainer_state.json";

constexpr ForeignKey kForeignKeys[] = {
    // run_mlm.py
    {"model_type", "", kNote, "config.json of the model says it"},
    {"config_name", "", kRefuse, "config.json is read from model_name_or_path"},
    {"config_overrides", "", kRefuse, "training from scratch is not what this engine does"},
    {"tokenizer_name", "", kRefuse, "the tokenizer is read from model_name_or_path"},
    {"use_fast_tokenizer", "true", kNote, "there is one tokenizer"},
    {"model_revision", "main", kNote, kNoDownload},
    {"token", "", kNote, kNoDownload},
    {"use_auth_token", "false", kNote, kNoDownload},
    {"trust_remote_code", "false", kNote, "no code is loaded from model folders"},
    {"dtype", "", kNote, "stored weights follow bits, products compute_dtype"},
    {"torch_dtype", "", kNote, "stored weights follow bits, products compute_dtype"},
    {"low_cpu_mem_usage", "", kNote, "weights are mapped, not copied"},
    {"dataset_name", "", kRefuse, "nothing is downloaded: give train_file"},
    {"dataset_config_name", "", kRefuse, "nothing is downloaded: give train_file"},
    {"preprocessing_num_workers", "", kNote, kNoWorkers},
    {"pad_to_max_length", "false", kNote, kPacked},
    {"pad_to_multiple_of", "", kNote, kPacked},
    {"streaming", "false", kNote, "files are read once, front to back, in any case"},

    // TrainingArguments
    {"do_train", "", kNote, kCommandSays},
    {"do_eval", "", kNote, kCommandSays},
    {"do_predict", "false", kNote, kCommandSays},
    {"overwrite_output_dir", "", kNote, "use resume: auto, no, or a checkpoint folder"},
    {"prediction_loss_only", "", kNote, "evaluation reports loss and accuracy"},
    {"optim_args", "", kNote, "AdamW takes none: use adam_beta1, adam_beta2, adam_epsilon"},
    {"optim_target_modules", "", kRefuse, "it belongs to optimizers of full weights (GaLore)"},
    {"average_tokens_across_devices", "true", kNote, "the loss is exact per labelled token"},
    {"bf16_full_eval", "false", kNote, kComputeType},
    {"fp16_full_eval", "false", kNote, kComputeType},
    {"half_precision_backend", "auto", kNote, kNoTorch},
    {"fp16_backend", "auto", kNote, kNoTorch},
    {"fp16_opt_level", "O1|o1", kNote, kNoTorch},
    {"tf32", "false", kNote, "fp32 products are fp32"},
    {"activation_checkpointing_kwargs", "{}", kNote, kNoTorch},
    {"gradient_checkpointing_kwargs", "{}", kNote, kNoTorch},
    {"torch_compile", "false", kNote, kNoTorch},
    {"torch_compile_backend", "", kNote, kNoTorch},
    {"torch_compile_mode", "", kNote, kNoTorch},
    {"torch_empty_cache_steps", "", kNote, kNoTorch},
    {"jit_mode_eval", "false", kNote, kNoTorch},
    {"use_liger_kernel", "false", kNote, kNoTorch},
    {"liger_kernel_config", "{}", kNote, kNoTorch},
    {"use_cache", "", kNote, kNoGeneration},
    {"auto_find_batch_size", "false", kNote, kPlanned},
    {"log_on_each_node", "", kNote, kOneDevice},
    {"logging_nan_inf_filter", "true", kNote, "a loss that is not finite is reported as it is"},
    {"include_num_input_tokens_seen", "no|false", kNote, "tokens seen are always counted"},
    {"include_tokens_per_second", "false", kNote, "tokens per second are always shown"},
    {"log_level", "passive", kNote, kLogSink},
    {"log_level_replica", "warning", kNote, kOneDevice},
    {"disable_tqdm", "", kNote, "the bar shows on a terminal only"},
    {"run_name", "", kNote, kLogSink},
    {"project", "huggingface", kNote, kNoHub},
    {"trackio_space_id", "", kNote, kNoHub},
    {"trackio_bucket_id", "", kNote, kNoHub},
    {"trackio_static_space_id", "", kNote, kNoHub},
    {"eval_do_concat_batches", "", kNote, "evaluation keeps sums only"},
    {"eval_accumulation_steps", "", kNote, "evaluation keeps sums only"},
    {"batch_eval_metrics", "", kNote, "evaluation keeps sums only"},
    {"include_for_metrics", "[]", kNote, "evaluation keeps sums only"},
    {"include_inputs_for_metrics", "false", kNote, "evaluation keeps sums only"},
    {"eval_use_gather_object", "false", kNote, kOneDevice},
    {"past_index", "-1", kNote, kNoGeneration},
    {"enable_jit_checkpoint", "false", kNote, "Ctrl-C and SIGTERM save a checkpoint in any case"},
    {"save_only_model", "false", kNote, "checkpoints always hold what a resumed run needs"},
    {"save_safetensors", "true", kRefuse, "weights are written as safetensors only"},
    {"save_on_each_node", "false", kNote, kOneDevice},
    {"push_to_hub", "false", kRefuse, kNoHub},
    {"hub_token", "", kNote, kNoHub},
    {"hub_model_id", "", kNote, kNoHub},
    {"hub_strategy", "every_save", kNote, kNoHub},
    {"hub_private_repo", "", kNote, kNoHub},
    {"hub_always_push", "false", kNote, kNoHub},
    {"hub_revision", "", kNote, kNoHub},
    {"push_to_hub_model_id", "", kNote, kNoHub},
    {"push_to_hub_organization", "", kNote, kNoHub},
    {"push_to_hub_token", "", kNote, kNoHub},
    {"ignore_data_skip", "false", kRefuse, "a resumed run continues bit for bit"},
    {"restore_callback_states_from_checkpoint", "false", kNote, "there are no callbacks"},
    {"full_determinism", "", kNote, "runs are always deterministic"},
    {"use_cpu", "true", kNote, "this release computes on the CPU"},
    {"no_cuda", "true", kNote, "this release computes on the CPU"},
    {"dataloader_num_workers", "", kNote, kNoWorkers},
    {"dataloader_pin_memory", "", kNote, kNoTorch},
    {"dataloader_persistent_workers", "", kNote, kNoWorkers},
    {"dataloader_prefetch_factor", "", kNote, kNoWorkers},
    {"dataloader_in_order", "true", kNote, kNoWorkers},
    {"dataloader_multiprocessing_context", "", kNote, kNoWorkers},
    {"dispatch_batches", "", kNote, kOneDevice},
    {"split_batches", "", kNote, kOneDevice},
    {"remove_unused_columns", "", kNote, "only the columns that are used are read"},
    {"label_names", "[]|[\"labels\"]", kNote, "labels come from the masks"},
    {"length_column_name", "length", kNote, kPacked},
    {"skip_memory_metrics", "", kNote, kPlanned},
    {"local_rank", "", kNote, kOneDevice},
    {"ddp_backend", "", kNote, kOneDevice},
    {"ddp_timeout", "", kNote, kOneDevice},
    {"ddp_find_unused_parameters", "", kNote, kOneDevice},
    {"ddp_bucket_cap_mb", "", kNote, kOneDevice},
    {"ddp_broadcast_buffers", "", kNote, kOneDevice},
    {"ddp_static_graph", "", kNote, kOneDevice},
    {"sharded_ddp", "[]", kRefuse, kOneDevice},
    {"xpu_backend", "", kNote, kOneDevice},
    {"mp_parameters", "", kNote, kOneDevice},
    {"fsdp_min_num_params", "0", kRefuse, kOneDevice},
    {"fsdp_transformer_layer_cls_to_wrap", "", kRefuse, kOneDevice},
    {"tpu_num_cores", "", kNote, kOneDevice},
    {"tpu_metrics_debug", "false", kNote, kOneDevice},
    {"use_mps_device", "false", kNote, kNoTorch},
    {"use_ipex", "false", kNote, kNoTorch},
    {"torchdynamo", "", kNote, kNoTorch},
    {"ray_scope", "last", kNote, "there is no search over settings"},
    {"fsdp", "[]", kRefuse, kOneDevice},
    {"fsdp_config", "{}", kRefuse, kOneDevice},
    {"deepspeed", "", kRefuse, kOneDevice},
    {"accelerator_config", "{}", kNote, kNoTorch},
    {"parallelism_config", "{}", kRefuse, kOneDevice},
    {"debug", "[]", kNote, kNoTorch},

    // qlora.py
    {"full_finetune", "false", kRefuse, "the base stays frozen: this engine trains adapters"},
    {"adam8bit", "false", kNote, "qlora.py ignores it too: use optim, for example adamw_bnb_8bit"},
    {"eval_dataset_size", "", kNote, "use validation_file or validation_split_percentage"},
    {"dataset_format", "", kNote, "rows are texts: see text_column_name"},
    {"target_max_len", "", kNote, "use max_seq_length"},
    {"train_on_source", "false", kNote, "labels come from the masks"},
    {"do_mmlu_eval", "false", kNote, kNoGeneration},
    {"mmlu_split", "", kNote, kNoGeneration},
    {"mmlu_dataset", "", kNote, kNoGeneration},
    {"max_mmlu_samples", "", kNote, kNoGeneration},
    {"mmlu_source_max_len", "", kNote, kNoGeneration},
    {"predict_with_generate", "false", kNote, kNoGeneration},
    {"max_new_tokens", "", kNote, kNoGeneration},
    {"min_new_tokens", "", kNote, kNoGeneration},
    {"do_sample", "", kNote, kNoGeneration},
    {"num_beams", "", kNote, kNoGeneration},
    {"temperature", "", kNote, kNoGeneration},
    {"top_p", "", kNote, kNoGeneration},
    {"top_k", "", kNote, kNoGeneration},
    {"typical_p", "", kNote, kNoGeneration},
    {"repetition_penalty", "", kNote, kNoGeneration},
    {"diversity_penalty", "", kNote, kNoGeneration},
    {"length_penalty", "", kNote, kNoGeneration},
    {"penalty_alpha", "", kNote, kNoGeneration},
    {"no_repeat_ngram_size", "", kNote, kNoGeneration},
    {"num_beam_groups", "", kNote, kNoGeneration},
    {"sortish_sampler", "false", kNote, "use train_sampling_strategy: group_by_length"},
    {"generation_config", "", kNote, kNoGeneration},
    {"generation_max_length", "", kNote, kNoGeneration},
    {"generation_num_beams", "", kNote, kNoGeneration},

    // peft and bitsandbytes
    {"load_in_8bit", "false", kRefuse, "8-bit weights are not supported: use bits: 4"},
    {"bnb_4bit_quant_storage", "uint8", kNote, "4-bit codes are kept as bytes"},
    {"llm_int8_skip_modules", "[]", kRefuse,
     "the encoder's linear layers are quantized, the head is not"},
    {"llm_int8_threshold", "6|6.0", kNote, "there are no 8-bit weights"},
    {"llm_int8_enable_fp32_cpu_offload", "false", kNote, "there are no 8-bit weights"},
    {"llm_int8_has_fp16_weight", "false", kNote, "there are no 8-bit weights"},
    {"lora_bias", "none|false", kRefuse, "LoRA pairs have no biases here"},
    {"task_type", "", kNote, "masked language models have none in peft"},
    {"fan_in_fan_out", "false", kRefuse, "linear layers store rows of outputs here"},
    {"inference_mode", "", kNote, "the command says it"},
    {"peft_type", "LORA|lora", kRefuse, "LoRA is what is trained here"},
    {"target_parameters", "[]", kRefuse, kPairsOnly},
    {"ensure_weight_tying", "false", kRefuse, "peft would make the decoder anew, without its bias"},
    {"loraplus_lr_embedding", "", kNote, "LoRA is not on embeddings here"},
    {"loraplus_weight_decay", "", kNote, "weight_decay holds for all groups of LoRA+"},
    {"layer_replication", "[]", kRefuse, "the base keeps its layers"},
    {"eva_config", "", kRefuse, kPlainLora},
    {"corda_config", "", kRefuse, kPlainLora},
    {"lora_ga_config", "", kRefuse, kPlainLora},
    {"use_qalora", "false", kRefuse, kPlainLora},
    {"qalora_group_size", "16", kRefuse, kPlainLora},
    {"use_bdlora", "false", kRefuse, kPlainLora},
    {"arrow_config", "", kRefuse, kPlainLora},
    {"velora_config", "", kRefuse, kPlainLora},
    {"monteclora_config", "", kRefuse, kPlainLora},
    {"kasa_config", "", kRefuse, kPlainLora},
    {"alora_invocation_tokens", "", kRefuse, kNoGeneration},
    {"megatron_config", "", kRefuse, kOneDevice},
    {"megatron_core", "megatron.core", kNote, kOneDevice},
    {"auto_mapping", "", kNote, "the model's family says it"},
    {"base_model_name_or_path", "", kNote, "adapters record model_name_or_path"},
    {"revision", "main", kNote, kNoDownload},
    {"peft_version", "", kNote, "adapters say whose format they have"},
    {"runtime_config", "{}", kNote, kNoTorch},
};

// What artidoro/qlora's qlora.py does when nothing is given. Its warmup_ratio of 0.03 goes with a
// constant schedule, which ignores it.
constexpr PresetValue kPresetValues[] = {
    {"qlora", "bits", "4"},
    {"qlora", "quant_type", "nf4"},
    {"qlora", "double_quant", "true"},
    {"qlora", "lora_r", "64"},
    {"qlora", "lora_alpha", "16"},
    {"qlora", "lora_dropout", "0"},
    {"qlora", "target_modules", "qlora"},
    {"qlora", "output_dir", "./output"},
    {"qlora", "per_device_train_batch_size", "1"},
    {"qlora", "gradient_accumulation_steps", "16"},
    {"qlora", "max_steps", "10000"},
    {"qlora", "weight_decay", "0"},
    {"qlora", "learning_rate", "0.0002"},
    {"qlora", "max_grad_norm", "0.3"},
    {"qlora", "gradient_checkpointing", "true"},
    {"qlora", "lr_scheduler_type", "constant"},
    {"qlora", "warmup_ratio", "0.03"},
    {"qlora", "train_sampling_strategy", "group_by_length"},
    {"qlora", "optim", "paged_adamw_32bit"},
    {"qlora", "logging_steps", "10"},
    {"qlora", "save_strategy", "steps"},
    {"qlora", "save_steps", "250"},
    {"qlora", "save_total_limit", "40"},
};
// clang-format on

}  // namespace

std::span<const Setting> settings() { return kSettings; }
std::span<const Alias> aliases() { return kAliases; }
std::span<const Translation> translations() { return kTranslations; }
std::span<const RefusedValue> refused_values() { return kRefusedValues; }
std::span<const ForeignKey> foreign_keys() { return kForeignKeys; }
const char* other_reporters() {
  return "azure_ml|clearml|codecarbon|comet_ml|dagshub|dvclive|flyte|kubeflow|mlflow|neptune|"
         "swanlab|trackio|wandb";
}
std::span<const PresetValue> preset_values() { return kPresetValues; }

}  // namespace qe::run_config
