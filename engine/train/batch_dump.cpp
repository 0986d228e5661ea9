// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/batch_dump.h"

#include "formats/json.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

template <class T>
Json list_of(std::span<const T> values) {
  Json list = Json::array();
  for (const T value : values) list.push_back(Json(static_cast<int64_t>(value)));
  return list;
}

std::vector<int32_t> ints_of(const Json& list) {
  std::vector<int32_t> values;
  for (const Json& item : list.items()) values.push_back(static_cast<int32_t>(item.as_int()));
  return values;
}

}  // namespace

BatchDumpWriter::BatchDumpWriter(const std::string& path, bool append)
    : path_(path), file_(path, append ? std::ios::app : std::ios::trunc) {
  QE_CHECK(file_, path_, ": cannot create the file");
}

void BatchDumpWriter::write(int64_t step, int64_t micro_step, const PackedBatch& batch) {
  std::vector<int32_t> labels(batch.token_ids.size(), kNoLabel);
  for (size_t i = 0; i < batch.labels.size(); ++i) labels[batch.label_rows[i]] = batch.labels[i];
  Json ids = Json::array();
  Json types = Json::array();
  Json labels_by_sequence = Json::array();
  for (int64_t b = 0; b < batch.n_sequences(); ++b) {
    const size_t begin = batch.cu_seqlens[b];
    const size_t n = batch.cu_seqlens[b + 1] - begin;
    ids.push_back(list_of(std::span<const int32_t>(batch.token_ids).subspan(begin, n)));
    types.push_back(list_of(std::span<const int32_t>(batch.type_ids).subspan(begin, n)));
    labels_by_sequence.push_back(list_of(std::span<const int32_t>(labels).subspan(begin, n)));
  }
  const Json line =
      Json::object({{"step", step},
                    {"micro_step", micro_step},
                    {"sample_ids", list_of(std::span<const uint32_t>(batch.sample_ids))},
                    {"input_ids", ids},
                    {"token_type_ids", types},
                    {"labels", labels_by_sequence}});
  file_ << line.dump() << "\n" << std::flush;
  QE_CHECK(file_, path_, ": cannot write");
}

std::vector<std::vector<PackedBatch>> read_batch_dump(const std::string& path,
                                                      const EncoderConfig& config) {
  std::ifstream file(path);
  QE_CHECK(file, path, ": cannot open the file");
  std::vector<std::vector<PackedBatch>> steps;
  int64_t line_number = 0, last = -1;
  for (std::string line; std::getline(file, line);) {
    const std::string where = cat(path, ":", ++line_number);
    const Json json = Json::parse(line, where);
    const int64_t step = json.at("step").as_int();
    QE_CHECK(step >= last && step >= 0, where, ": step ", step, " follows step ", last);
    if (step > last) steps.emplace_back();
    last = step;
    const std::vector<int32_t> samples = ints_of(json.at("sample_ids"));
    const auto& ids = json.at("input_ids").items();
    const auto& types = json.at("token_type_ids").items();
    const auto& labels = json.at("labels").items();
    QE_CHECK(ids.size() == samples.size() && types.size() == samples.size() &&
                 labels.size() == samples.size(),
             where, ": expected ", samples.size(), " sequences");
    PackedBatch batch;
    for (size_t i = 0; i < samples.size(); ++i) {
      const std::vector<int32_t> sequence = ints_of(ids[i]);
      const std::vector<int32_t> sequence_types = ints_of(types[i]);
      const std::vector<int32_t> sequence_labels = ints_of(labels[i]);
      QE_CHECK(
          sequence_types.size() == sequence.size() && sequence_labels.size() == sequence.size(),
          where, ": sequence ", i, ": expected ", sequence.size(), " types and labels");
      batch.append(config, static_cast<uint32_t>(samples[i]), sequence, sequence_types,
                   sequence_labels);
    }
    steps.back().push_back(std::move(batch));
  }
  return steps;
}

int64_t BatchReplay::load_update(int64_t step, std::vector<PackedBatch>& batches) const {
  QE_CHECK(step < static_cast<int64_t>(steps_.size()), path_, ": the dump has ", steps_.size(),
           " steps, step ", step, " is needed");
  const std::vector<PackedBatch>& source = steps_[step];
  QE_CHECK(source.size() <= batches.size(), path_, ": step ", step, " has ", source.size(),
           " micro-batches, gradient_accumulation_steps is ", batches.size());
  for (size_t i = 0; i < source.size(); ++i) {
    const int64_t token_capacity = batches[i].token_capacity;
    const int64_t label_capacity = batches[i].label_capacity;
    batches[i] = source[i];
    batches[i].token_capacity = token_capacity;
    batches[i].label_capacity = label_capacity;
  }
  return static_cast<int64_t>(source.size());
}

}  // namespace qe
