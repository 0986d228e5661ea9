// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <cmath>
#include <iostream>
#include <optional>

#include "engine/train/batch_dump.h"
#include "engine/train/run_history.h"
#include "formats/atomic_write.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/plan_report.h"
#include "tools/run_report.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

/// What people see of a run: a bar and, with every log entry, a line with means since the last one.
class TrainingView {
 public:
  explicit TrainingView(Progress& progress) : progress_(progress) {}

  void step(const StepMetrics& m) {
    loss_ += m.loss;
    seconds_ += m.seconds;
    n_tokens_ += m.n_tokens;
    ++n_steps_;
    const std::string speed =
        human_count(std::llround(static_cast<double>(n_tokens_) / std::max(seconds_, 1e-9))) +
        " tokens/s";
    const double mean_loss = loss_ / static_cast<double>(n_steps_);
    if (m.logged || m.step == m.total_steps) {
      progress_.line(cat("update ", m.step, "/", m.total_steps, "  epoch ", fixed(m.epoch, 2),
                         "  loss ", fixed(mean_loss, 4), "  lr ", m.learning_rate, "  grad norm ",
                         fixed(m.grad_norm, 3), "  ", speed));
      loss_ = seconds_ = 0;
      n_tokens_ = n_steps_ = 0;
    }
    progress_.bar("training", m.step, m.total_steps, "loss " + fixed(mean_loss, 3) + "  " + speed);
  }

  void evaluation(const EvalMetrics& m) {
    progress_.line(cat("evaluation at update ", m.step, "  ", evaluation_text(m)));
    last_ = m;
  }
  const std::optional<EvalMetrics>& last_evaluation() const { return last_; }

 private:
  Progress& progress_;
  double loss_ = 0, seconds_ = 0;  // since the last line
  int64_t n_tokens_ = 0, n_steps_ = 0;
  std::optional<EvalMetrics> last_;
};

/// The curve of the whole run, also of what came before a resume, from its log.
void write_loss_curve(const RunConfig& config) {
  const std::string& folder = config.output_dir;
  const RunCurve run{folder, read_run_history(folder + "/trainer_state.json", "step")};
  write_file_atomically(folder + "/loss.svg", run_plot_svg({run}, {.title = folder}));
}

std::string result_text(const Trainer& trainer, const TrainResult& result,
                        const std::optional<EvalMetrics>& evaluation) {
  Table table("ll");
  table.add({"adapter", trainer.config().output_dir});
  table.add({"updates", human_count(result.steps)});
  table.add({"training loss", fixed(result.train_loss, 4)});
  if (evaluation) table.add({"evaluation", evaluation_text(*evaluation)});
  table.add({"time", human_duration(result.seconds)});
  if (trainer.device().kind == DeviceKind::kCuda) {
    table.add({"GPU memory", device_use_text(trainer.memory(), trainer.device())});
  }
  if (result.seconds > 0)
    table.add({"tokens/s",
               human_count(std::llround(static_cast<double>(result.n_tokens) / result.seconds))});
  return table.text();
}

int run_train(const Arguments& arguments) {
  Progress progress;
  if (arguments.has("dry_run")) {
    const RunConfig config = read_config(arguments, progress);
    QE_CHECK(!config.output_dir.empty(), "output_dir: not given");
    show_plan(config, !arguments.has("no_measure"), progress);
    return 0;
  }
  const std::atomic<bool>& stop = stop_on_signals();
  Trainer trainer(read_config(arguments, progress), Trainer::Task::kTrain, /*planning=*/false,
                  progress.log(), &stop);
  const RunConfig& config = trainer.config();
  progress.line(summary_text(config, trainer.summary()) + "memory      " +
                human_bytes(device_bytes(trainer.memory(), trainer.device())));

  TrainingView view(progress);
  std::optional<BatchDumpWriter> dump;
  if (arguments.has("dump_batches")) dump.emplace(arguments.text("dump_batches"));
  TrainEvents events;
  events.stop = &stop;
  events.on_step = [&](const StepMetrics& metrics) { view.step(metrics); };
  events.on_evaluation = [&](const EvalMetrics& metrics) { view.evaluation(metrics); };
  events.on_checkpoint = [&](const std::string& folder) { progress.line("wrote " + folder); };
  std::optional<BatchReplay> replay;
  if (arguments.has("replay_batches")) {
    replay.emplace(arguments.text("replay_batches"), trainer.model().config);
    events.load_update = [&](int64_t step, std::vector<PackedBatch>& batches) {
      return replay->load_update(step, batches);
    };
  }
  if (dump)
    events.on_batch = [&](int64_t step, int64_t micro_step, const PackedBatch& batch) {
      dump->write(step, micro_step, batch);
    };

  const TrainResult result = trainer.train(events);
  write_loss_curve(config);
  progress.clear();
  if (result.stopped) {
    progress.line(cat("stopped after update ", result.steps, " of ", result.total_steps,
                      "; the same command goes on from there"));
    return stop_status();
  }
  std::cout << result_text(trainer, result, view.last_evaluation());
  return 0;
}

}  // namespace

Command train_command() {
  return {
      .name = "train",
      .summary = "QLoRA fine-tune; writes a PEFT adapter and checkpoints",
      .positionals = "[config.json]",
      .max_positionals = 1,
      .takes_settings = true,
      .description =
          "Trains LoRA adapters on a frozen, quantized masked language model. The configuration "
          "is\n"
          "the flat JSON that run_mlm.py and qlora.py read, with their key names and meanings.\n"
          "output_dir gets the adapter (adapter_config.json, adapter_model.safetensors: peft "
          "loads\n"
          "them as they are), the tokenizer, checkpoint-N folders, trainer_state.json, metrics "
          "and\n"
          "the loss curve. Ctrl-C, SIGTERM and SIGUSR1 save a checkpoint and stop (status 130,\n"
          "143, 0; a second signal stops at once); the same command continues, bit for bit as if\n"
          "it had never stopped.",
      .options = {{"dry_run", nullptr, "do not train: print what plan prints"},
                  {"no_measure", nullptr, "with --dry-run: no updates, no time"},
                  {"dump_batches", "FILE",
                   "write every micro-batch (ids, masks, labels) to FILE as JSON lines"},
                  {"replay_batches", "FILE",
                   "train on the batches that --dump_batches wrote, instead of train_file's"}},
      .example = "qlora-engine train examples/kjv_demo.json --max_steps 50 --output_dir out",
      .run = run_train};
}

}  // namespace qe::tools
