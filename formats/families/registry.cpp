// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// All supported families: one line each in the two lists below.

#include "formats/encoder_config.h"
#include "kernels/core/error.h"

namespace qe {
namespace model_families {
Family albert();
Family bert();
Family camembert();
Family deberta_v2();
Family distilbert();
Family electra();
Family esm();
Family eurobert();
Family megatron_bert();
Family modernbert();
Family mpnet();
Family nomic_bert();
Family roberta();
Family xlm_roberta();
Family xlm_roberta_xl();
}  // namespace model_families

const std::vector<Family>& families() {
  // clang-format off
  static const std::vector<Family> all = {
      model_families::albert(),
      model_families::bert(),
      model_families::camembert(),
      model_families::deberta_v2(),
      model_families::distilbert(),
      model_families::electra(),
      model_families::esm(),
      model_families::eurobert(),
      model_families::megatron_bert(),
      model_families::modernbert(),
      model_families::mpnet(),
      model_families::nomic_bert(),
      model_families::roberta(),
      model_families::xlm_roberta(),
      model_families::xlm_roberta_xl(),
  };
  // clang-format on
  return all;
}

const Family& family_of(const std::string& model_type) {
  std::string known;
  for (const Family& family : families()) {
    if (model_type == family.model_type) return family;
    known += cat(known.empty() ? "" : ", ", family.model_type);
  }
  fail("model_type ", Json(model_type).dump(), " is not supported; supported: ", known);
}

}  // namespace qe
