// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/torch_pickle.h"

#include <cstring>

#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

/// Enough for about a hundred thousand tensors.
constexpr size_t kMaxPickleBytes = size_t{1} << 26;
constexpr size_t kMaxPushed = size_t{1} << 22;
constexpr uint8_t kProtocol = 2;

enum class Op : uint8_t {
  kMark = '(',
  kEmptyTuple = ')',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersid = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
};

enum Function : int64_t { kOrderedDict, kRebuildTensor, kRebuildParameter };

struct Global {
  std::string_view module, name;
  TorchPickle::Kind kind;
  int64_t number;  // a Function or a DType
};
constexpr Global storage_type(std::string_view name, DType dtype) {
  return {"torch", name, TorchPickle::Kind::kStorageType, static_cast<int64_t>(dtype)};
}
constexpr Global function(std::string_view module, std::string_view name, Function function) {
  return {module, name, TorchPickle::Kind::kFunction, function};
}
/// All that a pickle may ask for.
constexpr Global kGlobals[] = {
    function("collections", "OrderedDict", kOrderedDict),
    function("torch._utils", "_rebuild_tensor", kRebuildTensor),
    function("torch._utils", "_rebuild_tensor_v2", kRebuildTensor),
    function("torch._utils", "_rebuild_parameter", kRebuildParameter),
    function("torch._utils", "_rebuild_parameter_with_state", kRebuildParameter),
    storage_type("FloatStorage", DType::kF32),
    storage_type("HalfStorage", DType::kF16),
    storage_type("BFloat16Storage", DType::kBF16),
    storage_type("DoubleStorage", DType::kF64),
    storage_type("LongStorage", DType::kI64),
    storage_type("IntStorage", DType::kI32),
    storage_type("ShortStorage", DType::kI16),
    storage_type("CharStorage", DType::kI8),
    storage_type("ByteStorage", DType::kU8),
    storage_type("BoolStorage", DType::kBool),
};

}  // namespace

TorchPickle::TorchPickle(std::string_view bytes, const std::string& where)
    : bytes_(bytes), where_(where) {
  run();
}

const char* TorchPickle::kind_name(Kind kind) {
  static constexpr const char* kNames[] = {"nothing", "a bool",    "a number", "a text",
                                           "a tuple", "a list",    "a dict",   "a function",
                                           "a type",  "a storage", "a tensor"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view TorchPickle::text(const Value& text) const {
  return bytes_.substr(static_cast<size_t>(text.number), text.length);
}

std::span<const TorchPickle::Value> TorchPickle::items(const Value& container) const {
  return containers_[static_cast<size_t>(container.number)];
}

const TorchPickle::Tensor& TorchPickle::tensor(const Value& tensor) const {
  return tensors_[static_cast<size_t>(tensor.number)];
}

void TorchPickle::run() {
  QE_CHECK(bytes_.size() >= 2 && static_cast<Op>(bytes_[0]) == Op::kProto, where_,
           ": expected a pickle, which begins with its protocol");
  QE_CHECK(static_cast<uint8_t>(bytes_[1]) == kProtocol, where_, ": pickle protocol ",
           static_cast<int>(static_cast<uint8_t>(bytes_[1])), ", only ",
           static_cast<int>(kProtocol), " is read, which torch.save writes");
  at_ = 2;
  while (step()) {
    QE_CHECK(at_ <= kMaxPickleBytes && n_pushed_ <= kMaxPushed, where_,
             ": the pickle is above the limit of ", kMaxPickleBytes, " bytes or ", kMaxPushed,
             " values");
  }
  root_ = pop();
  QE_CHECK(stack_.empty() && marks_.empty(), where_, ": the pickle ends with ", stack_.size(),
           " values left over");
  memo_.clear();
}

// One opcode; false after the last.
bool TorchPickle::step() {
  const auto op = static_cast<Op>(number(1));
  switch (op) {
    case Op::kStop:
      return false;
    case Op::kMark:
      marks_.push_back(stack_.size());
      ++n_pushed_;
      break;
    case Op::kNone:
      push({});
      break;
    case Op::kNewTrue:
    case Op::kNewFalse:
      push({.kind = Kind::kBool, .number = op == Op::kNewTrue});
      break;
    case Op::kBinInt:
      push({.kind = Kind::kInt, .number = static_cast<int32_t>(number(4))});
      break;
    case Op::kBinInt1:
      push({.kind = Kind::kInt, .number = static_cast<int64_t>(number(1))});
      break;
    case Op::kBinInt2:
      push({.kind = Kind::kInt, .number = static_cast<int64_t>(number(2))});
      break;
    case Op::kLong1: {
      const size_t n_bytes = number(1);
      QE_CHECK(n_bytes <= 8, where_, ": a number of ", n_bytes, " bytes in the pickle");
      const int unused = static_cast<int>(64 - 8 * n_bytes);
      const uint64_t bits = number(n_bytes);
      // Two's complement of n_bytes.
      push({.kind = Kind::kInt,
            .number = n_bytes == 0 ? 0 : static_cast<int64_t>(bits << unused) >> unused});
      break;
    }
    case Op::kBinUnicode: {
      const std::string_view text = take(number(4));
      push({.kind = Kind::kText,
            .length = static_cast<uint32_t>(text.size()),
            .number = text.data() - bytes_.data()});
      break;
    }
    case Op::kEmptyTuple:
      push(make_container(Kind::kTuple, {}));
      break;
    case Op::kEmptyList:
      push(make_container(Kind::kList, {}));
      break;
    case Op::kEmptyDict:
      push(make_container(Kind::kDict, {}));
      break;
    case Op::kTuple:
      push(make_container(Kind::kTuple, pop_mark()));
      break;
    case Op::kTuple1:
    case Op::kTuple2:
    case Op::kTuple3: {
      std::vector<Value> items(1 + static_cast<size_t>(op) - static_cast<size_t>(Op::kTuple1));
      for (size_t i = items.size(); i-- > 0;) items[i] = pop();
      push(make_container(Kind::kTuple, std::move(items)));
      break;
    }
    case Op::kAppend: {
      const Value item = pop();
      container_below(Kind::kList).push_back(item);
      break;
    }
    case Op::kAppends: {
      const std::vector<Value> items = pop_mark();
      std::vector<Value>& list = container_below(Kind::kList);
      list.insert(list.end(), items.begin(), items.end());
      break;
    }
    case Op::kSetItem: {
      const Value value = pop();
      const Value key = pop();
      std::vector<Value>& dict = container_below(Kind::kDict);
      dict.push_back(key);
      dict.push_back(value);
      break;
    }
    case Op::kSetItems: {
      const std::vector<Value> items = pop_mark();
      QE_CHECK(items.size() % 2 == 0, where_, ": a key without a value in the pickle");
      std::vector<Value>& dict = container_below(Kind::kDict);
      dict.insert(dict.end(), items.begin(), items.end());
      break;
    }
    case Op::kBuild:
      // An OrderedDict's attributes (_metadata: versions of modules) mean nothing to tensors.
      pop(Kind::kDict);
      container_below(Kind::kDict);
      break;
    case Op::kBinPut:
      remember(number(1));
      break;
    case Op::kLongBinPut:
      remember(number(4));
      break;
    case Op::kBinGet:
      recall(number(1));
      break;
    case Op::kLongBinGet:
      recall(number(4));
      break;
    case Op::kGlobal:
      push_global();
      break;
    case Op::kBinPersid:
      push_storage();
      break;
    case Op::kReduce:
      reduce();
      break;
    case Op::kInst: {
      const std::string_view module = line();
      refuse(module, line());
    }
    default:
      fail(where_, ": opcode ", static_cast<int>(op), " at byte ", at_ - 1,
           " of the pickle is none that tensors need; only tensors are read");
  }
  return true;
}

std::string_view TorchPickle::take(size_t n_bytes) {
  QE_CHECK(n_bytes <= bytes_.size() - at_, where_, ": the pickle ends in the middle, at byte ",
           bytes_.size());
  at_ += n_bytes;
  return bytes_.substr(at_ - n_bytes, n_bytes);
}

uint64_t TorchPickle::number(size_t n_bytes) {
  const std::string_view bytes = take(n_bytes);
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  return value;
}

std::string_view TorchPickle::line() {
  const size_t end = bytes_.find('\n', at_);
  QE_CHECK(end != std::string_view::npos, where_, ": the pickle ends in the middle, at byte ",
           bytes_.size());
  const std::string_view text = take(end - at_);
  ++at_;
  return text;
}

void TorchPickle::push(Value value) {
  stack_.push_back(value);
  ++n_pushed_;
}

TorchPickle::Value& TorchPickle::top() {
  const size_t bottom = marks_.empty() ? 0 : marks_.back();
  QE_CHECK(stack_.size() > bottom, where_, ": opcode at byte ", at_ - 1,
           " of the pickle lacks its operand");
  return stack_.back();
}

TorchPickle::Value TorchPickle::pop() {
  const Value value = top();
  stack_.pop_back();
  return value;
}

TorchPickle::Value TorchPickle::pop(Kind kind) {
  const Value value = pop();
  QE_CHECK(value.kind == kind, where_, ": expected ", kind_name(kind), " before byte ", at_,
           " of the pickle, got ", kind_name(value.kind));
  return value;
}

std::vector<TorchPickle::Value> TorchPickle::pop_mark() {
  QE_CHECK(!marks_.empty(), where_, ": opcode at byte ", at_ - 1, " of the pickle lacks its mark");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

TorchPickle::Value TorchPickle::make_container(Kind kind, std::vector<Value> items) {
  containers_.push_back(std::move(items));
  return {.kind = kind, .number = static_cast<int64_t>(containers_.size()) - 1};
}

// The list or dict that an opcode adds to stays on the stack.
std::vector<TorchPickle::Value>& TorchPickle::container_below(Kind kind) {
  const Value& container = top();
  QE_CHECK(container.kind == kind, where_, ": expected ", kind_name(kind), " before byte ", at_,
           " of the pickle, got ", kind_name(container.kind));
  return containers_[static_cast<size_t>(container.number)];
}

// Picklers number what they remember from 0 on.
void TorchPickle::remember(uint64_t index) {
  QE_CHECK(index <= memo_.size(), where_, ": memo ", index, " of the pickle after ", memo_.size());
  const Value value = top();
  if (index < memo_.size()) {
    memo_[index] = value;
    return;
  }
  memo_.push_back(value);
  ++n_pushed_;
}

void TorchPickle::recall(uint64_t index) {
  QE_CHECK(index < memo_.size(), where_, ": memo ", index, " of the pickle is not there");
  push(memo_[index]);
}

void TorchPickle::refuse(std::string_view module, std::string_view name) const {
  fail(where_, ": the pickle asks for ", printable(module, 100), ".", printable(name, 100),
       "; only tensors are read");
}

void TorchPickle::push_global() {
  const std::string_view module = line();
  const std::string_view name = line();
  for (const Global& global : kGlobals) {
    if (global.module == module && global.name == name) {
      return push({.kind = global.kind, .number = global.number});
    }
  }
  refuse(module, name);
}

// ("storage", type, key, device, number of elements); the legacy format adds what it is a view of.
void TorchPickle::push_storage() {
  const std::vector<Value>& id = containers_[static_cast<size_t>(pop(Kind::kTuple).number)];
  const bool tagged = !id.empty() && id[0].kind == Kind::kText && text(id[0]) == "storage";
  QE_CHECK(tagged, where_, ": the pickle refers to something that is no storage of a tensor",
           !id.empty() && id[0].kind == Kind::kText ? cat(": ", quote(text(id[0]))) : "");
  const bool plain = id.size() == 5 || (id.size() == 6 && id[5].kind == Kind::kNone);
  QE_CHECK(plain && id[1].kind == Kind::kStorageType && id[2].kind == Kind::kText, where_,
           ": expected (\"storage\", type, key, device, size) before byte ", at_,
           " of the pickle; views of storages are not read");
  const Storage storage{
      .key = text(id[2]), .dtype = static_cast<DType>(id[1].number), .n_elements = integer(id[4])};
  QE_CHECK(storage.n_elements >= 0, where_, ": storage ", quote(storage.key), " of ",
           storage.n_elements, " elements");
  const auto [place, added] = storage_of_key_.emplace(storage.key, storages_.size());
  if (added) storages_.push_back(storage);
  const Storage& first = storages_[place->second];
  QE_CHECK(first.dtype == storage.dtype && first.n_elements == storage.n_elements, where_,
           ": storage ", quote(storage.key), " is ", first.n_elements, " of ",
           dtype_name(first.dtype), " and ", storage.n_elements, " of ", dtype_name(storage.dtype));
  push({.kind = Kind::kStorage, .number = static_cast<int64_t>(place->second)});
}

void TorchPickle::reduce() {
  const std::vector<Value>& arguments = containers_[static_cast<size_t>(pop(Kind::kTuple).number)];
  const Value function = pop(Kind::kFunction);
  switch (static_cast<Function>(function.number)) {
    case kOrderedDict:
      QE_CHECK(arguments.empty(), where_, ": expected an empty OrderedDict before byte ", at_,
               " of the pickle");
      push(make_container(Kind::kDict, {}));
      break;
    case kRebuildTensor:
      push(make_tensor(arguments));
      break;
    case kRebuildParameter:  // (tensor, requires_grad, hooks[, state])
      QE_CHECK(!arguments.empty() && arguments[0].kind == Kind::kTensor, where_,
               ": expected a parameter of a tensor before byte ", at_, " of the pickle");
      push(arguments[0]);
  }
}

int64_t TorchPickle::integer(const Value& value) const {
  QE_CHECK(value.kind == Kind::kInt, where_, ": expected a number before byte ", at_,
           " of the pickle, got ", kind_name(value.kind));
  return value.number;
}

size_t TorchPickle::read_sizes(const Value& tuple, std::array<int64_t, kMaxRank>& sizes) const {
  QE_CHECK(tuple.kind == Kind::kTuple, where_, ": expected a tuple of sizes before byte ", at_,
           " of the pickle, got ", kind_name(tuple.kind));
  const std::span<const Value> items = this->items(tuple);
  QE_CHECK(items.size() <= kMaxRank, where_, ": a tensor of ", items.size(),
           " dimensions, at most ", kMaxRank, " are read");
  for (size_t i = 0; i < items.size(); ++i) sizes[i] = integer(items[i]);
  return items.size();
}

// (storage, offset, shape, strides[, requires_grad, hooks, metadata])
TorchPickle::Value TorchPickle::make_tensor(const std::vector<Value>& arguments) {
  QE_CHECK(arguments.size() >= 4 && arguments[0].kind == Kind::kStorage, where_,
           ": expected a tensor of a storage before byte ", at_, " of the pickle");
  Tensor tensor{.storage = static_cast<size_t>(arguments[0].number),
                .offset = integer(arguments[1])};
  tensor.rank = read_sizes(arguments[2], tensor.shape);
  QE_CHECK(read_sizes(arguments[3], tensor.strides) == tensor.rank, where_,
           ": a tensor whose shape and strides differ in length before byte ", at_,
           " of the pickle");
  tensors_.push_back(tensor);
  return {.kind = Kind::kTensor, .number = static_cast<int64_t>(tensors_.size()) - 1};
}

}  // namespace qe
