// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The pickle inside of torch.save's files, read without executing anything: a fixed list of opcodes
// builds dicts, lists, tuples, numbers and texts; a fixed list of names makes OrderedDicts,
// storages and tensors of them. Everything else is an error that says what the pickle asked for.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/dtype.h"

namespace qe {

class TorchPickle {
 public:
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kText,
    kTuple,
    kList,
    kDict,  ///< or OrderedDict
    kFunction,
    kStorageType,
    kStorage,
    kTensor
  };
  struct Value {
    Kind kind = Kind::kNone;
    uint32_t length = 0;  // kText
    int64_t number = 0;   // the number, or where the rest stands
  };
  /// Where a tensor's elements are said to be, by a key.
  struct Storage {
    std::string_view key;
    DType dtype = DType::kF32;
    int64_t n_elements = 0;
  };
  /// A view of a storage, not yet checked against its size: in elements, `rank` of both arrays.
  static constexpr size_t kMaxRank = 8;
  struct Tensor {
    size_t storage = 0;
    int64_t offset = 0;
    size_t rank = 0;
    std::array<int64_t, kMaxRank> shape = {};
    std::array<int64_t, kMaxRank> strides = {};
  };

  /// Reads one pickle (protocol 2) at the beginning of `bytes`, which must outlive this. Memory and
  /// time are linear in the pickle's size, which is limited. `where` begins errors.
  TorchPickle(std::string_view bytes, const std::string& where);

  const Value& root() const { return root_; }
  /// What follows the pickle's STOP.
  std::string_view rest() const { return bytes_.substr(at_); }

  std::string_view text(const Value& text) const;
  /// Of a tuple or a list; of a dict keys and values in turns.
  std::span<const Value> items(const Value& container) const;
  const Tensor& tensor(const Value& tensor) const;
  /// Each key once.
  const std::vector<Storage>& storages() const { return storages_; }

  static const char* kind_name(Kind kind);

 private:
  void run();
  bool step();
  uint64_t number(size_t n_bytes);
  std::string_view take(size_t n_bytes);
  std::string_view line();
  void push(Value value);
  Value pop();
  Value pop(Kind kind);
  Value make_container(Kind kind, std::vector<Value> items);
  std::vector<Value> pop_mark();
  Value& top();
  std::vector<Value>& container_below(Kind kind);
  void remember(uint64_t index);
  void recall(uint64_t index);
  void push_global();
  void push_storage();
  void reduce();
  Value make_tensor(const std::vector<Value>& arguments);
  size_t read_sizes(const Value& tuple, std::array<int64_t, kMaxRank>& sizes) const;
  int64_t integer(const Value& value) const;
  [[noreturn]] void refuse(std::string_view module, std::string_view name) const;

  std::string_view bytes_;
  std::string where_;
  size_t at_ = 0;
  size_t n_pushed_ = 0;
  Value root_;
  std::vector<Value> stack_, memo_;
  std::vector<size_t> marks_;
  std::deque<std::vector<Value>> containers_;
  std::vector<Storage> storages_;
  std::map<std::string_view, size_t> storage_of_key_;
  std::vector<Tensor> tensors_;
};

}  // namespace qe
