// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/convert/combined_adapter.h"

#include <algorithm>
#include <cmath>

#include "engine/model/low_rank.h"

namespace qe {
namespace {

using Type = CombineOptions::Type;

// An adapter's pair, to be added `factor` times.
struct Term {
  AdapterPair pair;
  double factor = 1.0;
};

// Whose pairs combine to one.
using Terms = std::vector<Term>;

int64_t largest_rank(const AdapterConfig& config) {
  int64_t rank = config.r;
  for (const auto& [pattern, of_pattern] : config.rank_pattern) rank = std::max(rank, of_pattern);
  return rank;
}

AdapterPair empty_pair(const AdapterPair& like, int64_t r) {
  return {.module = like.module,
          .r = r,
          .in = like.in,
          .out = like.out,
          .a = std::vector<float>(static_cast<size_t>(r * like.in)),
          .b = std::vector<float>(static_cast<size_t>(like.out * r)),
          .magnitude = {}};
}

// Ranks that no adapter has stay 0.
AdapterPair joined(const Terms& terms, int64_t r) {
  AdapterPair sum = empty_pair(terms[0].pair, r);
  int64_t begin = 0;
  for (const auto& [pair, factor] : terms) {
    for (size_t i = 0; i < pair.a.size(); ++i) {
      sum.a[static_cast<size_t>(begin * pair.in) + i] = pair.a[i] * static_cast<float>(factor);
    }
    for (int64_t i = 0; i < pair.out; ++i) {
      const auto row = pair.b.begin() + i * pair.r;
      std::copy(row, row + pair.r, sum.b.begin() + i * r + begin);
    }
    begin += pair.r;
  }
  return sum;
}

// Each factor takes the root of what the product is multiplied by, A its sign too.
AdapterPair added(const Terms& terms) {
  AdapterPair sum = empty_pair(terms[0].pair, terms[0].pair.r);
  for (const auto& [pair, factor] : terms) {
    const auto root = static_cast<float>(std::sqrt(std::abs(factor)));
    for (size_t i = 0; i < sum.a.size(); ++i) sum.a[i] += (factor < 0 ? -root : root) * pair.a[i];
    for (size_t i = 0; i < sum.b.size(); ++i) sum.b[i] += root * pair.b[i];
  }
  return sum;
}

AdapterPair reduced(const Terms& terms, int64_t r) {
  AdapterPair sum = empty_pair(terms[0].pair, r);
  std::vector<float> product(static_cast<size_t>(sum.out * sum.in));
  for (const auto& [pair, factor] : terms) {
    for (int64_t i = 0; i < pair.out; ++i) {
      for (int64_t k = 0; k < pair.r; ++k) {
        const auto b = static_cast<float>(factor) * pair.b[static_cast<size_t>(i * pair.r + k)];
        for (int64_t j = 0; j < pair.in; ++j) {
          product[static_cast<size_t>(i * pair.in + j)] +=
              b * pair.a[static_cast<size_t>(k * pair.in + j)];
        }
      }
    }
  }
  const SingularTriplets found =
      largest_triplets({product, sum.out, sum.in}, r, NamedStream(0, sum.module));
  std::copy(found.v.begin(), found.v.end(), sum.a.begin());
  for (size_t i = 0; i < found.u.size(); ++i) {
    sum.b[i] = static_cast<float>(found.u[i] * found.s[i % static_cast<size_t>(r)]);
  }
  return sum;
}

void add_terms(const Adapter& adapter, const WeightedAdapter& source,
               std::map<std::string, Terms>& terms) {
  QE_CHECK(
      adapter.tensors.empty(), source.folder,
      ": an adapter that has parameters in full (bias, modules_to_save, trainable_token_indices) "
      "cannot be combined");
  const LoraTargets targets(adapter.config);
  for (const AdapterPair& pair : adapter.pairs) {
    QE_CHECK(pair.magnitude.empty(), source.folder, ": ", pair.module,
             ": an adapter with magnitudes (DoRA) cannot be combined with others");
    Terms& of_module = terms[pair.module];
    if (!of_module.empty()) {
      const AdapterPair& first = of_module[0].pair;
      QE_CHECK(pair.in == first.in && pair.out == first.out, source.folder, ": ", pair.module,
               ": the adapter is for another base: expected a ", first.out, " x ", first.in,
               " linear, got ", pair.out, " x ", pair.in);
    }
    of_module.push_back({pair, source.weight * targets.scale(pair.module)});
  }
}

// Before anything is computed, so that the first module's error is the one that is told.
void check_ranks(Type type, int64_t r, const Terms& terms) {
  const AdapterPair& first = terms[0].pair;
  QE_CHECK(type != Type::kSvd || r <= std::min(first.in, first.out), first.module, ": a rank of ",
           r, " for a weight of ", first.out, " x ", first.in);
  for (const Term& term : terms) {
    QE_CHECK(type != Type::kLinear || term.pair.r == first.r, first.module,
             ": the adapters have ranks ", first.r, " and ", term.pair.r,
             " here, but factors of different ranks cannot be added up (use cat or svd)");
  }
}

}  // namespace

Adapter combine_adapters(const CombineOptions& options, ThreadPool& threads) {
  QE_CHECK(!options.adapters.empty(), "no adapter to combine");
  std::map<std::string, Terms> terms;
  Adapter combined;
  int64_t largest = 0, total = 0;
  for (const WeightedAdapter& source : options.adapters) {
    const Adapter adapter = read_adapter(source.folder);
    const int64_t rank = largest_rank(adapter.config);
    const bool is_first = total == 0;
    if (is_first) combined.config = adapter.config;
    QE_CHECK(is_first || options.type != Type::kLinear || rank == largest, source.folder,
             ": the adapters have ranks ", largest, " and ", rank,
             ", but factors of different ranks cannot be added up (use cat or svd)");
    largest = std::max(largest, rank);
    total += rank;
    add_terms(adapter, source, terms);
  }
  const Type type = options.adapters.size() == 1 ? Type::kLinear : options.type;
  const int64_t svd_rank = options.svd_rank > 0 ? options.svd_rank : largest;
  const int64_t r = type == Type::kCat ? total : type == Type::kSvd ? svd_rank : largest;

  std::vector<const Terms*> modules;
  for (const auto& [module, of_module] : terms) {
    check_ranks(type, r, of_module);
    modules.push_back(&of_module);
  }
  combined.pairs.resize(modules.size());
  threads.run(static_cast<int64_t>(modules.size()), [&](int64_t task, int) {
    const Terms& of_module = *modules[static_cast<size_t>(task)];
    combined.pairs[static_cast<size_t>(task)] = type == Type::kCat   ? joined(of_module, r)
                                                : type == Type::kSvd ? reduced(of_module, r)
                                                                     : added(of_module);
  });
  AdapterConfig config = combined.config;
  config.r = r;
  config.lora_alpha = static_cast<double>(r);
  config.use_rslora = false;
  config.rank_pattern.clear();
  config.alpha_pattern.clear();
  config.bias = AdapterConfig::Bias::kNone;
  config.modules_to_save.clear();
  config.target_modules.clear();  // named in full: no layer, no exclusion takes one away
  config.target_regex.clear();
  config.exclude_modules.clear();
  config.exclude_regex.clear();
  config.layers_to_transform.clear();
  config.layers_pattern.clear();
  for (const AdapterPair& pair : combined.pairs) {
    config.target_modules.push_back(pair.module);
    if (pair.r == r) continue;  // else patterns gave one adapter several ranks
    config.rank_pattern.emplace_back(pair.module, pair.r);
    config.alpha_pattern.emplace_back(pair.module, static_cast<double>(pair.r));
  }
  combined.config = config;
  return combined;
}

}  // namespace qe
