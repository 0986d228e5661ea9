// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/sentencepiece_model.h"

#include <bit>
#include <cmath>

#include "formats/mapped_file.h"
#include "formats/tokenizer/vocab.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

// A protobuf message is a list of fields: a varint of number * 8 + wire type, then a varint (0), 8
// bytes (1), a varint length and so many bytes (2), or 4 bytes (5). Messages inside are of type 2.

namespace qe {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 28;

/// Reads the fields of one message, in their order.
class MessageReader {
 public:
  /// `offset`: where the message begins in the file, for errors.
  MessageReader(std::string_view message, size_t offset, const std::string& name)
      : message_(message), offset_(offset), name_(name) {}

  /// Goes on to the next field; false at the end.
  bool next() {
    if (at_ == message_.size()) return false;
    const uint64_t key = read_varint();
    number_ = key >> 3;
    type_ = static_cast<WireType>(key & 7);
    QE_CHECK(number_ > 0 && number_ <= kMaxNumber, where(), "field number ", number_);
    switch (type_) {
      case WireType::kVarint:
        value_ = read_varint();
        break;
      case WireType::kFixed64:
        take(8);
        break;
      case WireType::kBytes:
        take(read_varint());
        break;
      case WireType::kFixed32:
        take(4);
        break;
      default:
        fail(where(), "wire type ", key & 7, " of field ", number_);
    }
    return true;
  }
  uint64_t number() const { return number_; }

  std::string_view bytes() const {
    expect(WireType::kBytes);
    return payload_;
  }
  MessageReader message() const {
    expect(WireType::kBytes);
    return {payload_, offset_ + at_ - payload_.size(), name_};
  }
  std::string text() const {
    const size_t n_valid = valid_utf8_prefix_length(bytes());
    QE_CHECK(n_valid == payload_.size(), where(), "a text that is not UTF-8");
    return std::string(payload_);
  }
  bool flag() const {
    expect(WireType::kVarint);
    return value_ != 0;
  }
  /// Of an int32 or an enumeration.
  int32_t integer() const {
    expect(WireType::kVarint);
    return static_cast<int32_t>(static_cast<uint32_t>(value_));
  }
  float number32() const {
    expect(WireType::kFixed32);
    uint32_t bits = 0;
    for (size_t k = 4; k-- > 0;) bits = bits << 8 | static_cast<unsigned char>(payload_[k]);
    return std::bit_cast<float>(bits);
  }
  /// "model: at byte 12: ", to stand before what is wrong.
  std::string where() const { return cat(name_, ": at byte ", offset_ + at_, ": "); }

 private:
  enum class WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  static constexpr uint64_t kMaxNumber = (uint64_t{1} << 29) - 1;

  void expect(WireType type) const {
    QE_CHECK(type_ == type, where(), "field ", number_, " has wire type ", static_cast<int>(type_),
             ", expected ", static_cast<int>(type));
  }
  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      QE_CHECK(at_ < message_.size(), where(), "a number is cut short");
      const auto byte = static_cast<unsigned char>(message_[at_++]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail(where(), "a number of more than 10 bytes");
  }
  void take(uint64_t n_bytes) {
    QE_CHECK(n_bytes <= message_.size() - at_, where(), "field ", number_, " of ", n_bytes,
             " bytes where ", message_.size() - at_, " are left");
    payload_ = message_.substr(at_, n_bytes);
    at_ += n_bytes;
  }

  std::string_view message_;
  size_t offset_;
  const std::string& name_;
  size_t at_ = 0;
  uint64_t number_ = 0;
  WireType type_ = WireType::kVarint;
  uint64_t value_ = 0;
  std::string_view payload_;
};

SentencepieceModel::Piece read_piece(MessageReader reader) {
  using Type = SentencepieceModel::PieceType;
  SentencepieceModel::Piece piece;
  while (reader.next()) {
    if (reader.number() == 1) piece.text = reader.text();
    if (reader.number() == 2) {
      piece.score = reader.number32();
      QE_CHECK(std::isfinite(piece.score), reader.where(), "a score that is not finite");
    }
    if (reader.number() == 3) {
      const int32_t type = reader.integer();
      QE_CHECK(type >= static_cast<int>(Type::kNormal) && type <= static_cast<int>(Type::kByte),
               reader.where(), "piece type ", type, ": expected 1 to 6");
      piece.type = static_cast<Type>(type);
    }
  }
  return piece;
}

void read_trainer(MessageReader reader, SentencepieceModel& model) {
  using Type = SentencepieceModel::ModelType;
  while (reader.next()) {
    if (reader.number() == 3) {
      const int32_t type = reader.integer();
      QE_CHECK(type >= static_cast<int>(Type::kUnigram) && type <= static_cast<int>(Type::kChar),
               reader.where(), "model type ", type, ": expected 1 to 4");
      model.model_type = static_cast<Type>(type);
    }
    if (reader.number() == 35) model.byte_fallback = reader.flag();
    if (reader.number() == 40) model.unk_id = reader.integer();
    if (reader.number() == 45) model.unk_piece = reader.text();
  }
}

void read_normalizer(MessageReader reader, SentencepieceModel& model) {
  while (reader.next()) {
    if (reader.number() == 2) model.precompiled_charsmap = reader.bytes();
    if (reader.number() == 3) model.add_dummy_prefix = reader.flag();
    if (reader.number() == 4) model.remove_extra_whitespaces = reader.flag();
    if (reader.number() == 5) model.escape_whitespaces = reader.flag();
  }
}

}  // namespace

SentencepieceModel SentencepieceModel::parse(std::string_view bytes, const std::string& name) {
  SentencepieceModel model;
  MessageReader reader(bytes, 0, name);
  while (reader.next()) {
    if (reader.number() == 1) {
      QE_CHECK(static_cast<int64_t>(model.pieces.size()) < Vocab::kMaxIds, name, ": more than ",
               Vocab::kMaxIds, " pieces");
      model.pieces.push_back(read_piece(reader.message()));
    }
    if (reader.number() == 2) read_trainer(reader.message(), model);
    if (reader.number() == 3) read_normalizer(reader.message(), model);
  }
  QE_CHECK(!model.pieces.empty(), name, ": expected a sentencepiece model, found no pieces");
  QE_CHECK(model.unk_id >= 0 && model.unk_id < static_cast<int64_t>(model.pieces.size()), name,
           ": the unknown piece's id is ", model.unk_id, " of ", model.pieces.size(), " pieces");
  return model;
}

SentencepieceModel SentencepieceModel::read(const std::string& path) {
  const MappedFile file(path);
  QE_CHECK(file.bytes().size() <= kMaxFileBytes, path, ": a model of ", file.bytes().size(),
           " bytes: expected at most ", kMaxFileBytes);
  return parse({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
}

}  // namespace qe
