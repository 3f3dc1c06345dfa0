// Group norm as a whole: a thread reads a row for its moments and again for y
// while it is in its cache, from its end, of which most is there. Of few rows
// each is shared by the threads, in two passes.

#ifndef KERAS_NORMS_CPU_GROUP_NORM_H_
#define KERAS_NORMS_CPU_GROUP_NORM_H_

#include <cmath>

#include "gradient.h"
#include "moments.h"

namespace {

// Of a group norm or of its gradient.
struct Groups {
  int64_t count;
  double epsilon;
  const void* gamma;  // [channels], or null for ones
  const void* beta;   // [channels], or null for zeros
};

template <class A>
inline Groups GroupsOf(const A& arguments) {
  return {arguments.groups, arguments.epsilon, arguments.gamma,
          arguments.beta};
}

template <class S>
struct Kept {
  S* mean;
  S* residual;
  S* inverse;
};

// Means and inverse deviations of the groups of a row, from its channels'.
template <class S>
inline void PoolGroups(const Groups& groups, int64_t channels, Parts* parts,
                       int64_t slot, int64_t row, const Kept<S>& kept) {
  const int64_t size = channels / groups.count;
  if (size == 0) return;
  const double count = *parts->count(slot);
  for (int64_t g = 0; g < groups.count; ++g) {
    const double* means = parts->mean(slot) + g * size;
    const double* squares = parts->squares(slot) + g * size;
    double mean = 0, total = 0;
    for (int64_t c = 0; c < size; ++c) mean += means[c] - means[0];
    mean = means[0] + mean / size;
    for (int64_t c = 0; c < size; ++c) {
      const double apart = means[c] - mean;
      total += squares[c] + count * apart * apart;
    }
    const double variance = count > 0 ? total / (count * size) : 0;
    const int64_t i = row * groups.count + g;
    kept.mean[i] = S(mean);
    kept.residual[i] = S(mean - double(kept.mean[i]));
    kept.inverse[i] = S(1 / std::sqrt(variance + groups.epsilon));
  }
}

// Tables of a row.
template <class S>
class GroupRow {
 public:
  template <class K>
  GroupRow(const Groups& groups, int64_t channels, int64_t row, const K& kept)
      : channels_(channels), data_(5 * channels) {
    const S* gamma = static_cast<const S*>(groups.gamma);
    const S* beta = static_cast<const S*>(groups.beta);
    const int64_t size = channels / groups.count;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t i = row * groups.count + c / size;
      const S scale = kept.inverse[i] * (gamma ? gamma[c] : S(1));
      table(0)[c] = kept.mean[i];
      table(1)[c] = scale;
      table(2)[c] = (beta ? beta[c] : S(0)) - kept.residual[i] * scale;
    }
  }

  // From sums of g and of g (x - center): the tables b and d of dx, and, in
  // place of the sums, this row's share of the gradients of beta and gamma.
  template <class K>
  void Derive(const Groups& groups, int64_t row, const K& kept, double count,
              double* sum, double* product) {
    const S* gamma = static_cast<const S*>(groups.gamma);
    const int64_t size = channels_ / groups.count;
    for (int64_t g = 0; g < groups.count; ++g) {
      const int64_t i = row * groups.count + g;
      const double inverse = kept.inverse[i];
      double all = 0, along = 0;
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        // Sum of g (x - mean) / deviation.
        product[c] = (product[c] - kept.residual[i] * sum[c]) * inverse;
        all += (gamma ? gamma[c] : 1) * sum[c];
        along += (gamma ? gamma[c] : 1) * product[c];
      }
      const double over = count > 0 ? inverse / (count * size) : 0;
      const double b = -over * along * inverse;
      const double d = -over * all - b * kept.residual[i];
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        table(3)[c] = S(b);
        table(4)[c] = S(d);
      }
    }
    derived_ = true;
  }

  // b and d, for other threads.
  void Save(S* to) {
    for (int64_t i = 0; i < 2 * channels_; ++i) to[i] = table(3)[i];
  }
  void Restore(const S* from) {
    for (int64_t i = 0; i < 2 * channels_; ++i) table(3)[i] = from[i];
    derived_ = true;
  }

  Row<S> row() {
    S* const none = nullptr;
    return {table(0), table(1), table(2), derived_ ? table(3) : none,
            derived_ ? table(4) : none};
  }

 private:
  S* table(int64_t i) { return data_.get() + i * channels_; }
  int64_t channels_;
  Buffer<S> data_;
  bool derived_ = false;
};

template <class T, class S>
void GroupNorm(const keras_norms::GroupNormArguments& arguments,
               const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  T* const y = static_cast<T*>(arguments.y);
  const Groups groups = GroupsOf(arguments);
  const Kept<S> kept = {static_cast<S*>(arguments.mean),
                        static_cast<S*>(arguments.residual),
                        static_cast<S*>(arguments.rstd)};
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count(), channels = view.channels;
  const bool whole = chunks.by_rows(workers);
  const auto apply = [&](int64_t row, int64_t k, GroupRow<S>* tables) {
    ApplyChunk(view, chunks.at(row, k), x, tables->row(), arguments.activation,
               nullptr, y, chunks.large(2));
  };
  EachRowsMoments<T, S>(
      view, x, nullptr, workers, [&](int64_t row, Parts* parts, int64_t slot) {
        PoolGroups(groups, channels, parts, slot, row, kept);
        if (!whole) return;
        GroupRow<S> tables(groups, channels, row, kept);
        for (int64_t k = count - 1; k >= 0; --k) apply(row, k, &tables);
      });
  if (whole) return;
  Parallel(workers, view.rows * count, [&](int64_t i) {
    GroupRow<S> tables(groups, channels, i / count, kept);
    apply(i / count, i % count, &tables);
  });
}

template <class T, class S>
void GroupNormGradient(const keras_norms::GroupNormGradientArguments& arguments,
                       const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  const T* const dy = static_cast<const T*>(arguments.dy);
  T* const dx = static_cast<T*>(arguments.dx);
  S* const d_gamma = static_cast<S*>(arguments.d_gamma);
  S* const d_beta = static_cast<S*>(arguments.d_beta);
  const Groups groups = GroupsOf(arguments);
  const Kept<const S> kept = {static_cast<const S*>(arguments.mean),
                              static_cast<const S*>(arguments.residual),
                              static_cast<const S*>(arguments.rstd)};
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count(), channels = view.channels;
  const bool whole = chunks.by_rows(workers);
  // Of each row: its share of d beta and of d gamma, and, where another
  // thread reads them, its b and d.
  Buffer<S> shares(view.rows * 2 * channels);
  Buffer<S> derived(whole ? 0 : view.rows * 2 * channels);
  const auto combine = [&](int64_t row, int64_t k, GroupRow<S>* tables) {
    ChunkCombine(view, chunks.at(row, k), x, dy, tables->row(),
                 arguments.activation, nullptr, dx, chunks.large(3));
  };
  EachRowsSums<T, S>(
      view, x, dy, arguments.activation, nullptr, workers,
      [&](int64_t row) { return GroupRow<S>(groups, channels, row, kept); },
      [&](int64_t row, double* sum, double* product) {
        GroupRow<S> tables(groups, channels, row, kept);
        tables.Derive(groups, row, kept, view.positions(), sum, product);
        S* share = shares.get() + row * 2 * channels;
        for (int64_t c = 0; c < channels; ++c) {
          share[c] = S(sum[c]);
          share[channels + c] = S(product[c]);
        }
        if (whole) {
          for (int64_t k = count - 1; k >= 0; --k) combine(row, k, &tables);
        } else {
          tables.Save(derived.get() + row * 2 * channels);
        }
      });
  if (!whole) {
    Parallel(workers, view.rows * count, [&](int64_t i) {
      GroupRow<S> tables(groups, channels, i / count, kept);
      tables.Restore(derived.get() + i / count * 2 * channels);
      combine(i / count, i % count, &tables);
    });
  }
  Parallel(workers, UpTo(channels, kTile), [&](int64_t i) {
    const int64_t begin = i * kTile, n = Least(kTile, channels - begin);
    double beta[kTile], gamma[kTile];
    for (int64_t c = 0; c < n; ++c) beta[c] = gamma[c] = 0;
    for (int64_t row = 0; row < view.rows; ++row) {
      const S* share = shares.get() + row * 2 * channels + begin;
      for (int64_t c = 0; c < n; ++c) {
        beta[c] += share[c];
        gamma[c] += share[channels + c];
      }
    }
    for (int64_t c = 0; c < n; ++c) {
      d_beta[begin + c] = S(beta[c]);
      d_gamma[begin + c] = S(gamma[c]);
    }
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_GROUP_NORM_H_
