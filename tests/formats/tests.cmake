# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors

qe_test(qe_formats_tests qe_formats
  formats/adapter_test.cpp
  formats/atomic_write_test.cpp
  formats/dataset/compressions_test.cpp
  formats/dataset/csv_test.cpp
  formats/dataset/dataset_files_test.cpp
  formats/dataset/formats_test.cpp
  formats/dataset/json_rows_test.cpp
  formats/dataset/text_reader_test.cpp
  formats/dataset/text_stream_test.cpp
  formats/encoder_config_test.cpp
  formats/event_file_test.cpp
  formats/families/bert_test.cpp
  formats/families/configs_test.cpp
  formats/families/names_test.cpp
  formats/hash_test.cpp
  formats/json_test.cpp
  formats/line_plot_test.cpp
  formats/lora_config_test.cpp
  formats/manifest_test.cpp
  formats/mapped_file_test.cpp
  formats/model_card_test.cpp
  formats/named_shapes_test.cpp
  formats/quant4_file_test.cpp
  formats/quote_test.cpp
  formats/regex_test.cpp
  formats/run_config_schema_test.cpp
  formats/run_config_test.cpp
  formats/safetensors_test.cpp
  formats/token_shard_test.cpp
  formats/tokenizer/added_tokens_test.cpp
  formats/tokenizer/bert_normalizer_test.cpp
  formats/tokenizer/char_normalizers_test.cpp
  formats/tokenizer/decoder_test.cpp
  formats/tokenizer/grapheme_test.cpp
  formats/tokenizer/hostile_test.cpp
  formats/tokenizer/model_test.cpp
  formats/tokenizer/normal_forms_test.cpp
  formats/tokenizer/pattern_test.cpp
  formats/tokenizer/post_processor_test.cpp
  formats/tokenizer/precompiled_test.cpp
  formats/tokenizer/sentencepiece_model_test.cpp
  formats/tokenizer/string_table_test.cpp
  formats/tokenizer/tokenize_json_test.cpp
  formats/tokenizer/tokenizer_test.cpp
  formats/tokenizer/unicode_test.cpp
  formats/utf8_test.cpp
  formats/tokenizer/vocab_files_test.cpp
  formats/tokenizer/vocab_test.cpp
  formats/tokenizer/wordpiece_test.cpp
  formats/torch_file_test.cpp
  formats/weight_files_test.cpp)

# Reads real tokenizers where they are, hence no plain qe_test.
add_executable(qe_real_tokenizers_tests support/main.cpp
  formats/tokenizer/real_tokenizers_test.cpp)
target_link_libraries(qe_real_tokenizers_tests PRIVATE qe_formats doctest::doctest)
target_compile_definitions(qe_real_tokenizers_tests PRIVATE
  QE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
add_test(NAME qe_real_tokenizers_tests COMMAND ${CMAKE_COMMAND}
  -DPROGRAM=$<TARGET_FILE:qe_real_tokenizers_tests>
  -DARCHIVE=${PROJECT_SOURCE_DIR}/../shared/data/tokenizers.tar.xz
  -DFOLDER=${PROJECT_BINARY_DIR}/real_tokenizers
  -P ${CMAKE_CURRENT_SOURCE_DIR}/formats/tokenizer/real_tokenizers.cmake)
set_tests_properties(qe_real_tokenizers_tests PROPERTIES
  LABELS cpu SKIP_REGULAR_EXPRESSION "skipped: no archive")
