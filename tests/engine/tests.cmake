# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

qe_device_test(qe_engine_tests qe_engine
  engine/adapter_loading_test.cpp
  engine/adapter_variants_test.cpp
  engine/combined_adapter_test.cpp
  engine/compare_models_test.cpp
  engine/converted_tensors_test.cpp
  engine/data_loader_test.cpp
  engine/epoch_plan_test.cpp
  engine/families_test.cpp
  engine/fill_mask_test.cpp
  engine/full_tensors_test.cpp
  engine/golden_model_test.cpp
  engine/host_quant4_test.cpp
  engine/inference_test.cpp
  engine/logit_drift_test.cpp
  engine/lora_init_test.cpp
  engine/loss_watch_test.cpp
  engine/low_rank_test.cpp
  engine/lr_schedule_test.cpp
  engine/mask_rate_test.cpp
  engine/measure_test.cpp
  engine/memory_plan_test.cpp
  engine/memory_test.cpp
  engine/mlm_collator_test.cpp
  engine/model_folders_test.cpp
  engine/optimizer_test.cpp
  engine/paged_table_test.cpp
  engine/paired_difference_test.cpp
  engine/position_tables_test.cpp
  engine/run_history_test.cpp
  engine/tape_test.cpp
  engine/tensor_source_test.cpp
  engine/token_cache_test.cpp
  engine/token_dataset_test.cpp
  engine/trainer_batches_test.cpp
  engine/trainer_memory_test.cpp
  engine/trainer_resume_test.cpp
  engine/trainer_test.cpp
  engine/triggers_test.cpp
  engine/weight_loader_test.cpp)

# A program of its own: it has its own write(2).
qe_test(qe_write_faults_tests qe_engine support/device.cpp engine/write_faults_test.cpp)

if(QE_WITH_CUDA)
  add_test(NAME qe_engine_tests_cuda_pinned
           COMMAND qe_engine_tests --test-case=paged*,optimizer*,trainer*)
  set_tests_properties(qe_engine_tests_cuda_pinned PROPERTIES
    ENVIRONMENT "QE_TEST_DEVICE=bf16;QE_PAGED=pinned" LABELS cuda SKIP_RETURN_CODE 77
    RESOURCE_LOCK gpu)
endif()
