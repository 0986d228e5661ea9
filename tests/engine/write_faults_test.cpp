// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// A full disk (ENOSPC), a broken one (EIO) and short writes at every call that writes a checkpoint.
// This program has its own write, fsync, rename ..., which the linker prefers to libc's.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "formats/manifest.h"
#include "tests/support/random_run.h"

namespace {

/// What is done to calls on paths in `folder`, from arm() to disarm().
class Faults {
 public:
  /// Call number `target` (from 0) fails with `error`; -1: none does. With short_writes every write
  /// writes half of what it is given.
  void arm(const std::string& folder, int error, int64_t target, bool short_writes = false) {
    const std::lock_guard lock(mutex_);
    folder_ = folder;
    error_ = error;
    target_ = target;
    short_writes_ = short_writes;
    n_calls_ = 0;
    armed_ = true;
  }
  /// How many calls there were.
  int64_t disarm() {
    const std::lock_guard lock(mutex_);
    armed_ = false;
    return n_calls_;
  }
  /// Whether a call on this path is to fail; errno is set then.
  bool fails(const char* path) {
    if (!armed_) return false;
    const std::lock_guard lock(mutex_);
    if (!armed_ || !matches(path) || n_calls_++ != target_) return false;
    errno = error_;
    return true;
  }
  bool fails(int file) { return armed_ && fails(path_of(file).c_str()); }
  bool shortens(int file) {
    if (!armed_) return false;
    const std::string path = path_of(file);
    const std::lock_guard lock(mutex_);
    return armed_ && short_writes_ && matches(path.c_str());
  }

 private:
  // The trainer's own line-by-line log is not part of a checkpoint.
  bool matches(const char* path) const {
    return std::strncmp(path, folder_.c_str(), folder_.size()) == 0 &&
           std::strstr(path, "metrics.jsonl") == nullptr;
  }
  static std::string path_of(int file) {
    char path[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(file);
    const ssize_t n = ::readlink(link.c_str(), path, sizeof path);
    return n > 0 ? std::string(path, static_cast<size_t>(n)) : std::string();
  }

  std::mutex mutex_;
  std::atomic<bool> armed_ = false;
  std::string folder_;
  int error_ = 0;
  int64_t target_ = -1, n_calls_ = 0;
  bool short_writes_ = false;
};

Faults& faults() {
  static Faults* const instance = new Faults;  // also for what is written at the very end
  return *instance;
}

}  // namespace

extern "C" {

ssize_t write(int file, const void* data, size_t n) {
  if (faults().fails(file)) {
    const int error = errno;
    ::syscall(SYS_write, file, data, n / 2);  // as disks do: part of it is there
    errno = error;
    return -1;
  }
  if (n > 1 && faults().shortens(file)) n /= 2;
  return ::syscall(SYS_write, file, data, n);
}

// Not passed on: what is tested is not the disk, and it would take minutes.
int fsync(int file) { return faults().fails(file) ? -1 : 0; }

int close(int file) {
  const bool failed = faults().fails(file);
  const int error = errno;
  const int result = static_cast<int>(::syscall(SYS_close, file));
  if (!failed) return result;
  errno = error;
  return -1;
}

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  const bool writes = (flags & (O_WRONLY | O_RDWR)) != 0;
  if (writes && faults().fails(path)) return -1;
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int rename(const char* from, const char* to) noexcept {
  if (faults().fails(to)) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  if (faults().fails(to)) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int mkdir(const char* path, mode_t mode) noexcept {
  if (faults().fails(path)) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

}  // extern "C"

namespace qe {

using test::adapter_bytes, test::random_run;

namespace {

namespace fs = std::filesystem;

RunConfig config_of(const TemporaryFolder& folder, const std::string& name) {
  RunConfig config = random_run(folder, name);
  config.max_steps = 3;
  config.save_strategy = "steps";
  config.save_steps = 1;
  return config;
}

struct Outcome {
  std::string warnings, error;
  int64_t n_calls = 0;
  int n_saved = 0;
};

/// A run whose second checkpoint is written with this fault. `intact` is called when that is over.
Outcome run_with(const RunConfig& config, int fault, int64_t target, bool short_writes,
                 const std::function<void()>& intact, bool stops = false) {
  Outcome outcome;
  bool over = false;
  const auto end = [&] {
    if (over) return;
    over = true;
    outcome.n_calls = faults().disarm();
    intact();
  };
  const Log log([&](LogLevel level, const std::string& line) {
    if (level != LogLevel::kWarning) return;
    end();
    outcome.warnings += line + "\n";
  });
  std::atomic<bool> stop = false;
  Trainer trainer(config, Trainer::Task::kTrain, false, log);
  outcome.error = error_of([&] {
    trainer.train({.on_step = [&](const StepMetrics& m) { stop = stops && m.step == 2; },
                   .on_checkpoint =
                       [&](const std::string& path) {
                         ++outcome.n_saved;
                         if (path.ends_with("-1")) {
                           faults().arm(config.output_dir, fault, target, short_writes);
                         } else if (path.ends_with("-2")) {
                           end();
                         }
                       },
                   .stop = &stop});
  });
  end();
  return outcome;
}

bool is_whole(const std::string& folder) {
  return error_of([&] { check_manifest(folder); }) == "";
}

int64_t leftovers(const std::string& folder) {
  int64_t n = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    n += entry.path().filename().string().starts_with(".");
  }
  return n;
}

}  // namespace

TEST_CASE("checkpoints: a fault at any call leaves the one before whole, and is named") {
  const TemporaryFolder folder;
  const RunConfig good = config_of(folder, "good");
  const Outcome expected = run_with(good, 0, -1, false, [] {});
  CHECK(expected.warnings == "");
  CHECK(expected.n_saved == 3);
  const int64_t n_calls = expected.n_calls;
  REQUIRE(n_calls > 50);  // ten files, each created, written, synced, closed, renamed
  int n_absent = 0;
  for (const int fault : {ENOSPC, EIO}) {
    for (int64_t target = 0; target < n_calls; ++target) {
      CAPTURE(fault);
      CAPTURE(target);
      const RunConfig config = config_of(folder, cat("fault", fault, "-", target));
      const std::string& out = config.output_dir;
      const Outcome outcome = run_with(config, fault, target, false, [&] {
        CHECK(is_whole(out + "/checkpoint-1"));
        CHECK(leftovers(out) == 0);
        // It is there only if all of it is: a fault in the last sync comes after the rename.
        const bool absent = !fs::exists(out + "/checkpoint-2");
        n_absent += absent;
        CHECK((absent || is_whole(out + "/checkpoint-2")));
      });
      CHECK(outcome.error == "");
      // A close that fails after its fsync has lost nothing.
      if (outcome.warnings == "") {
        CHECK(outcome.n_saved == 3);
      } else {
        CHECK(outcome.warnings.starts_with("checkpoint 2 was not written: " + out));
        CHECK(outcome.warnings.ends_with(
            cat(": ", std::strerror(fault), "; the training goes on\n")));
        CHECK(outcome.n_saved == 2);
      }
      CHECK(is_whole(out + "/checkpoint-3"));
      CHECK(adapter_bytes(out) == adapter_bytes(good.output_dir));
      fs::remove_all(out);
    }
  }
  MESSAGE(n_calls, " calls, each with ENOSPC and EIO: ", n_absent, " times no checkpoint 2");
  CHECK(n_absent > n_calls);  // of 2 n_calls
}

TEST_CASE("checkpoints: short writes go on where they ended") {
  const TemporaryFolder folder;
  const RunConfig config = config_of(folder, "short");
  const Outcome outcome =
      run_with(config, 0, -1, true, [&] { CHECK(is_whole(config.output_dir + "/checkpoint-2")); });
  CHECK(outcome.warnings == "");
  const RunConfig good = config_of(folder, "good");
  const Outcome expected = run_with(good, 0, -1, false, [] {});
  CHECK(outcome.n_calls > expected.n_calls + 30);
  for (const char* name : {"adapter_model.safetensors", "optimizer.safetensors"}) {
    const std::string file = std::string("/checkpoint-2/") + name;
    CHECK(content_of(config.output_dir + file) == content_of(good.output_dir + file));
  }
}

TEST_CASE("checkpoints: a stop whose checkpoint cannot be written is an error") {
  const TemporaryFolder folder;
  const RunConfig config = config_of(folder, "stopped");
  const Outcome outcome = run_with(
      config, ENOSPC, 20, false, [&] { CHECK(is_whole(config.output_dir + "/checkpoint-1")); },
      true);
  CHECK(outcome.warnings == "");
  CHECK(outcome.error.starts_with("checkpoint 2 was not written: "));
  CHECK(outcome.error.ends_with(": No space left on device"));
  // The same settings go on from the one before.
  Trainer again(config, Trainer::Task::kTrain, false, Log());
  CHECK(again.train({}).first_step == 1);
}

}  // namespace qe
