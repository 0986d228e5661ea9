// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/cublaslt.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/error.h"
#include "kernels/cuda/algorithm_choices.h"
#include "kernels/cuda/runtime.h"

namespace qe::cuda {
namespace {

constexpr int kMaxCandidates = 12;
// How a sum over k may be split: not at all; or, where the library has nothing else, into parts
// that a second kernel adds in a fixed order. Never by atomics.
constexpr uint32_t kReductions[] = {CUBLASLT_REDUCTION_SCHEME_NONE,
                                    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE};
constexpr int kTimedRuns = 4;

cudaStream_t stream_of(const Context& ctx) { return static_cast<cudaStream_t>(ctx.stream); }

// The library's functions that are used here.
struct Library {
#define QE_CUBLASLT_FUNCTION(name) decltype(&::name) name = nullptr
  QE_CUBLASLT_FUNCTION(cublasLtCreate);
  QE_CUBLASLT_FUNCTION(cublasLtDestroy);
  QE_CUBLASLT_FUNCTION(cublasLtGetVersion);
  QE_CUBLASLT_FUNCTION(cublasLtMatmul);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulDescCreate);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulDescDestroy);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulDescSetAttribute);
  QE_CUBLASLT_FUNCTION(cublasLtMatrixLayoutCreate);
  QE_CUBLASLT_FUNCTION(cublasLtMatrixLayoutDestroy);
  QE_CUBLASLT_FUNCTION(cublasLtMatrixLayoutSetAttribute);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulPreferenceCreate);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulPreferenceDestroy);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulPreferenceSetAttribute);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulAlgoGetHeuristic);
  QE_CUBLASLT_FUNCTION(cublasLtMatmulAlgoCheck);
#undef QE_CUBLASLT_FUNCTION
};

void* open_library() {
  // Major versions whose header-level interface is this one.
  static constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12",
                                           "libcublasLt.so"};
  static constexpr const char* kFolders[] = {"", "/usr/local/cuda/lib64/"};
  for (const char* folder : kFolders) {
    for (const char* name : kNames) {
      if (void* handle = dlopen(cat(folder, name).c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    }
  }
  fail(
      "cuBLASLt was not found: tried libcublasLt.so.13 and libcublasLt.so.12 on the library path "
      "and in /usr/local/cuda/lib64. Install the CUDA 12 or 13 libraries, or add their folder to "
      "LD_LIBRARY_PATH");
}

template <class Function>
void find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  QE_CHECK(function != nullptr, "cuBLASLt has no function ", name);
}

void check(cublasStatus_t status, const char* what) {
  QE_CHECK(status == CUBLAS_STATUS_SUCCESS, what, " failed with cuBLAS status ",
           static_cast<int>(status));
}

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::kBF16 ? CUDA_R_16BF : dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_32F;
}

// What an algorithm is timed for: sizes are rounded up to four steps an octave, so that batches of
// about the same number of tokens share a choice. Which of them comes first then decides for all:
// where results follow from the shape alone, the key is exact.
using Key = ProductKey;

int64_t bucket(int64_t size) {
  if (size < 16) return size;
  const int64_t step = int64_t{1} << (std::bit_width(static_cast<uint64_t>(size)) - 3);
  return (size + step - 1) / step * step;
}

// The largest power of two, at most 16, that all rows' addresses are multiples of.
int64_t alignment(const Tensor& t) {
  const uint64_t row = static_cast<uint64_t>(t.stride) * dtype_size(t.dtype);
  const uint64_t bits = reinterpret_cast<uintptr_t>(t.data) | row | 16u;
  return static_cast<int64_t>(bits & (~bits + 1));
}

int64_t inner_size(const Gemm& g) { return g.a_transposed ? g.a.rows : g.a.cols; }

Key key_of(const Gemm& g, const GemmBatch& batch, bool exact) {
  const auto size = [&](int64_t n) { return exact ? n : bucket(n); };
  const auto stride = [&](const Tensor& t) { return exact ? t.stride : 0; };
  return {size(g.c.rows),
          size(g.c.cols),
          size(inner_size(g)),
          2 * g.a_transposed + g.b_transposed,
          static_cast<int64_t>(g.a.dtype),
          static_cast<int64_t>(g.c.dtype),
          alignment(g.a) * 256 + alignment(g.b) * 16 + alignment(g.c) / 2,
          g.bias ? 1 : 0,
          g.mode == GradientMode::kAccumulate ? 1 : 0,
          g.alpha == 1.0f ? 1 : 0,
          stride(g.a),
          stride(g.b),
          stride(g.c),
          batch.count};
}

std::string describe(const Gemm& g) {
  return cat(g.c.rows, " x ", g.c.cols, " x ", inner_size(g), ", ", dtype_name(g.a.dtype), " to ",
             dtype_name(g.c.dtype), ", strides ", g.a.stride, g.a_transposed ? "^T, " : ", ",
             g.b.stride, g.b_transposed ? "^T, " : ", ", g.c.stride);
}

struct Choice {
  cublasLtMatmulAlgo_t algo{};
  // The shape it was last checked for.
  int64_t m = -1, n = -1, k = -1;
};

}  // namespace

struct CublasLt::State {
  void* library = nullptr;
  Library f;
  cublasLtHandle_t handle = nullptr;
  bool deterministic = false;
  bool timing_is_over = false;  // choices were given to, or taken from, another run
  std::map<Key, Choice> choices;
  std::string made_by;  // once known

  // Descriptors of one product. Row-major c = op(a) op(b) is column-major c^T = op(b)^T op(a)^T.
  struct Plan {
    const Library& f;
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;

    Plan(const Library& library, const Gemm& g, const GemmBatch& batch) : f(library) {
      check(f.cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
            "cublasLtMatmulDescCreate");
      const cublasOperation_t first_op = g.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      const cublasOperation_t second_op = g.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      set(CUBLASLT_MATMUL_DESC_TRANSA, first_op);
      set(CUBLASLT_MATMUL_DESC_TRANSB, second_op);
      if (g.bias) {
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(g.bias.data));
        set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(data_type(g.bias.dtype)));
      }
      first = layout(g.b, batch.count, batch.b_offset);
      second = layout(g.a, batch.count, batch.a_offset);
      result = layout(g.c, batch.count, batch.c_offset);
    }
    ~Plan() {
      if (operation) f.cublasLtMatmulDescDestroy(operation);
      for (cublasLtMatrixLayout_t one : {first, second, result}) {
        if (one) f.cublasLtMatrixLayoutDestroy(one);
      }
    }
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

   private:
    template <class T>
    void set(cublasLtMatmulDescAttributes_t attribute, T value) {
      check(f.cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)),
            "cublasLtMatmulDescSetAttribute");
    }
    template <class T>
    void set_layout(cublasLtMatrixLayout_t of, cublasLtMatrixLayoutAttribute_t attribute, T value) {
      check(f.cublasLtMatrixLayoutSetAttribute(of, attribute, &value, sizeof(value)),
            "cublasLtMatrixLayoutSetAttribute");
    }
    cublasLtMatrixLayout_t layout(const Tensor& t, int64_t count, int64_t offset) {
      cublasLtMatrixLayout_t made = nullptr;
      // One row may have any stride; the library wants at least the columns.
      check(f.cublasLtMatrixLayoutCreate(&made, data_type(t.dtype), static_cast<uint64_t>(t.cols),
                                         static_cast<uint64_t>(t.rows), std::max(t.stride, t.cols)),
            "cublasLtMatrixLayoutCreate");
      if (count > 1) {
        set_layout(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(count));
        set_layout(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, offset);
      }
      return made;
    }
  };

  std::vector<cublasLtMatmulAlgo_t> candidates(const Plan& plan, const Gemm& g, uint32_t reductions,
                                               int n_wanted, size_t workspace_bytes) const {
    cublasLtMatmulPreference_t preference = nullptr;
    check(f.cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(f.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_bytes));
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(alignment(g.b)));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(alignment(g.a)));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(alignment(g.c)));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(alignment(g.c)));
    std::array<cublasLtMatmulHeuristicResult_t, kMaxCandidates> results{};
    int n_found = 0;
    const cublasStatus_t status = f.cublasLtMatmulAlgoGetHeuristic(
        handle, plan.operation, plan.first, plan.second, plan.result, plan.result, preference,
        n_wanted, results.data(), &n_found);
    f.cublasLtMatmulPreferenceDestroy(preference);
    std::vector<cublasLtMatmulAlgo_t> found;
    if (status != CUBLAS_STATUS_SUCCESS) return found;
    for (int i = 0; i < n_found; ++i) {
      const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
      if (result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes) {
        found.push_back(result.algo);
      }
    }
    return found;
  }

  // `into` is c, or memory of its layout when c must not change.
  cublasStatus_t run(const Context& ctx, const Plan& plan, const Gemm& g,
                     const cublasLtMatmulAlgo_t& algo, void* into, void* workspace,
                     size_t workspace_bytes) const {
    const float beta = g.mode == GradientMode::kAccumulate ? 1.0f : 0.0f;
    return f.cublasLtMatmul(handle, plan.operation, &g.alpha, g.b.data, plan.first, g.a.data,
                            plan.second, &beta, g.c.data, plan.result, into, plan.result, &algo,
                            workspace, workspace_bytes, stream_of(ctx));
  }

  // Puts the fastest candidate first. An accumulating product must not be computed twice into c: it
  // is timed into memory of its own, or not at all when there is none left.
  void sort_by_time(const Context& ctx, const Plan& plan, const Gemm& g,
                    std::vector<cublasLtMatmulAlgo_t>& found, void* workspace,
                    size_t workspace_bytes) const {
    void* into = g.c.data;
    void* own = nullptr;
    if (g.mode == GradientMode::kAccumulate) {
      const size_t n_bytes =
          static_cast<size_t>((g.c.rows - 1) * g.c.stride + g.c.cols) * dtype_size(g.c.dtype);
      if (cudaMalloc(&own, n_bytes) != cudaSuccess) {
        cudaGetLastError();
        return;
      }
      into = own;
    }
    const cudaStream_t stream = stream_of(ctx);
    cudaEvent_t begin = nullptr, end = nullptr;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    size_t best = 0;
    float best_time = std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < found.size(); ++i) {
      const auto once = [&] {
        return run(ctx, plan, g, found[i], into, workspace, workspace_bytes) ==
               CUBLAS_STATUS_SUCCESS;
      };
      bool good = once();
      cudaEventRecord(begin, stream);
      for (int n = 0; n < kTimedRuns; ++n) good = good && once();
      cudaEventRecord(end, stream);
      float time = 0.0f;
      if (cudaEventSynchronize(end) != cudaSuccess ||
          cudaEventElapsedTime(&time, begin, end) != cudaSuccess || !good) {
        continue;
      }
      if (time >= best_time) continue;
      best_time = time;
      best = i;
    }
    std::swap(found[0], found[best]);
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    if (own != nullptr) cudaFree(own);
  }

  // The choice made before, if it also does for this very shape.
  const cublasLtMatmulAlgo_t* chosen(const Plan& plan, const Gemm& g, const GemmBatch& batch,
                                     size_t workspace_bytes) {
    const auto entry = choices.find(key_of(g, batch, deterministic));
    if (entry == choices.end()) return nullptr;
    Choice& choice = entry->second;
    const int64_t k = inner_size(g);
    if (choice.m == g.c.rows && choice.n == g.c.cols && choice.k == k) return &choice.algo;
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status =
        f.cublasLtMatmulAlgoCheck(handle, plan.operation, plan.first, plan.second, plan.result,
                                  plan.result, &choice.algo, &result);
    if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > workspace_bytes) return nullptr;
    choice.m = g.c.rows;
    choice.n = g.c.cols;
    choice.k = k;
    return &choice.algo;
  }

  // Computes the product by the best of the library's candidates, and notes the choice. A bucket's
  // choice stays what it was first: a size that it does not do for is chosen for anew each time,
  // untimed. False when no candidate runs.
  bool run_candidates(const Context& ctx, const Plan& plan, const Gemm& g, const GemmBatch& batch,
                      void* workspace, size_t workspace_bytes) {
    const Key key = key_of(g, batch, deterministic);
    const bool is_new = choices.find(key) == choices.end();
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(stream_of(ctx), &capture);
    const bool timed =
        is_new && !deterministic && !timing_is_over && capture == cudaStreamCaptureStatusNone;
    for (const uint32_t reductions : kReductions) {
      std::vector<cublasLtMatmulAlgo_t> found =
          candidates(plan, g, reductions, kMaxCandidates, workspace_bytes);
      if (timed && found.size() > 1) {
        sort_by_time(ctx, plan, g, found, workspace, workspace_bytes);
      }
      for (const cublasLtMatmulAlgo_t& algo : found) {
        const cublasStatus_t status = run(ctx, plan, g, algo, g.c.data, workspace, workspace_bytes);
        if (status == CUBLAS_STATUS_SUCCESS) {
          if (is_new) choices[key] = {algo, g.c.rows, g.c.cols, inner_size(g)};
          return true;
        }
        if (ctx.log != nullptr) {
          ctx.log->warn(cat("cuBLASLt refuses its own candidate for ", describe(g), ": status ",
                            static_cast<int>(status)));
        }
      }
    }
    return false;
  }

  std::string header(const Context& ctx) const {
    cudaDeviceProp properties{};
    const std::string name = cudaGetDeviceProperties(&properties, ctx.device.index) == cudaSuccess
                                 ? properties.name
                                 : "unknown";
    return cat("cuBLASLt ", f.cublasLtGetVersion(), ", ", name, " with ",
               ctx.limits.n_multiprocessors, " multiprocessors, ",
               deterministic ? "untimed" : "timed");
  }
};

CublasLt::CublasLt() : state_(std::make_unique<State>()) {
  state_->library = open_library();
  Library& f = state_->f;
  void* const library = state_->library;
#define QE_FIND(name) find(library, #name, f.name)
  QE_FIND(cublasLtCreate);
  QE_FIND(cublasLtDestroy);
  QE_FIND(cublasLtGetVersion);
  QE_FIND(cublasLtMatmul);
  QE_FIND(cublasLtMatmulDescCreate);
  QE_FIND(cublasLtMatmulDescDestroy);
  QE_FIND(cublasLtMatmulDescSetAttribute);
  QE_FIND(cublasLtMatrixLayoutCreate);
  QE_FIND(cublasLtMatrixLayoutDestroy);
  QE_FIND(cublasLtMatrixLayoutSetAttribute);
  QE_FIND(cublasLtMatmulPreferenceCreate);
  QE_FIND(cublasLtMatmulPreferenceDestroy);
  QE_FIND(cublasLtMatmulPreferenceSetAttribute);
  QE_FIND(cublasLtMatmulAlgoGetHeuristic);
  QE_FIND(cublasLtMatmulAlgoCheck);
#undef QE_FIND
  check(f.cublasLtCreate(&state_->handle), "cublasLtCreate");
}

// The library stays open: its own threads and caches outlive any handle.
CublasLt::~CublasLt() {
  if (state_->handle) state_->f.cublasLtDestroy(state_->handle);
}

size_t CublasLt::version() const { return state_->f.cublasLtGetVersion(); }

void CublasLt::set_deterministic(bool deterministic) { state_->deterministic = deterministic; }

bool CublasLt::gemm(Context& ctx, const Gemm& args, void* workspace, size_t workspace_bytes,
                    const GemmBatch& batch) {
  if (state_->made_by.empty()) state_->made_by = state_->header(ctx);
  const State::Plan plan(state_->f, args, batch);
  if (const cublasLtMatmulAlgo_t* algo = state_->chosen(plan, args, batch, workspace_bytes)) {
    const cublasStatus_t status =
        state_->run(ctx, plan, args, *algo, args.c.data, workspace, workspace_bytes);
    QE_CHECK(status == CUBLAS_STATUS_SUCCESS, "cublasLtMatmul of ", describe(args),
             " failed with cuBLAS status ", static_cast<int>(status));
  } else if (!state_->run_candidates(ctx, plan, args, batch, workspace, workspace_bytes)) {
    return false;
  }
  ctx.cuda->launched("cublasLtMatmul");
  return true;
}

std::string CublasLt::choices() const {
  if (state_->made_by.empty()) return "";
  AlgorithmChoices choices;
  if (!state_->deterministic) {
    for (const auto& [key, choice] : state_->choices) {
      choices[key] = std::bit_cast<Algorithm>(choice.algo);
    }
  }
  state_->timing_is_over = true;
  return choices_text(state_->made_by, choices);
}

std::string CublasLt::adopt(const Context& ctx, const std::string& text) {
  AlgorithmChoices choices;
  const std::string reader = state_->header(ctx);
  std::string refused = read_choices(text, reader, choices);
  if (!refused.empty()) return refused;
  state_->choices.clear();
  for (const auto& [key, algorithm] : choices) {
    state_->choices[key].algo = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm);
  }
  state_->made_by = reader;
  state_->timing_is_over = true;
  return "";
}

}  // namespace qe::cuda
