// The kernels that combine partials, in double: into the moments of channels or
// groups, into the coefficients of their gradients, and into the gradients of
// gamma and beta.

#ifndef KERAS_NORMS_CUDA_COMBINE_PARTIALS_H_
#define KERAS_NORMS_CUDA_COMBINE_PARTIALS_H_

#include "partials.h"
#include "tasks.h"

namespace {

using keras_norms::Divisor;
using keras_norms::PoolGeometry;

// The quotient also of numbers above 2^31, which are rare.
KERAS_NORMS_DEVICE long long Quotient(long long number,
                                      const Divisor& divisor) {
  if (number < 0x80000000LL) return static_cast<int>(number) / divisor;
  return number / static_cast<int>(divisor);
}

// The result that a thread works on, and its number among the threads that
// share the result. Adjacent threads have adjacent results.
struct ResultThread {
  int thread_in_result;
  long long result;

  explicit KERAS_NORMS_DEVICE ResultThread(const PoolGeometry& g)
      : thread_in_result(Thread() / g.block_results),
        result(static_cast<long long>(Block()) * g.block_results +
               Thread() % g.block_results) {}
};

// The partials of one group of one row, numbered by chunk and channel.
struct GroupPartials {
  long long row;
  int channel;  // the first of the group
  int count;

  KERAS_NORMS_DEVICE GroupPartials(const PoolGeometry& g, long long result) {
    row = Quotient(result, g.groups);
    channel = static_cast<int>(result - row * g.groups) * g.group_size;
    count = row < g.rows ? g.chunks * g.group_size : 0;
  }

  KERAS_NORMS_DEVICE int Channel(const PoolGeometry& g, int i) const {
    return channel + i % g.group_size;
  }

  KERAS_NORMS_DEVICE long long Index(const PoolGeometry& g, int i) const {
    return (row * g.chunks + i / g.group_size) * g.channels + Channel(g, i);
  }
};

// Calls use(i, partial) for those of `count` partials that are assigned to a
// thread, where partial i is partials[index(i)]. Four reads are in flight at
// once.
template <class P, class I, class Index, class F>
KERAS_NORMS_DEVICE void ForEachPartial(const PoolGeometry& g,
                                       const ResultThread& thread, I count,
                                       const P* partials, const Index& index,
                                       const F& use) {
  constexpr int n = 4;
  for (I i = thread.thread_in_result; i < count; i += n * g.result_threads) {
    P read[n];
    KERAS_NORMS_UNROLL
    for (int k = 0; k < n; ++k) {
      const I next = i + k * g.result_threads;
      if (next < count) read[k] = partials[index(next)];
    }
    KERAS_NORMS_UNROLL
    for (int k = 0; k < n; ++k) {
      const I next = i + k * g.result_threads;
      if (next < count) use(next, read[k]);
    }
  }
}

KERAS_NORMS_DEVICE void PoolMoments(const keras_norms::PoolMomentsTask& task) {
  KERAS_NORMS_SHARED(DoubleMoments, shared, kThreads);
  const PoolGeometry& g = task.geometry;
  const ResultThread thread(g);
  const GroupPartials group(g, thread.result);
  const double pivot =
      group.count == 0 ? 0.0 : task.partials[group.Index(g, 0)].pivot;
  DoubleMoments moments[1] = {};
  const auto index = [&](int i) { return group.Index(g, i); };
  ForEachPartial(g, thread, group.count, task.partials, index,
                 [&](int, const MomentsPartial& partial) {
                   if (partial.count == 0) return;
                   const double difference =
                       (partial.pivot - pivot) + partial.centered_mean;
                   const double sum = partial.count * difference;
                   Merge(&moments[0], {partial.count, sum,
                                       partial.squares + sum * difference});
                 });
  BlockReduce(moments, thread.thread_in_result, g.result_threads,
              g.block_results, shared);
  if (thread.thread_in_result != 0 || group.count == 0) return;
  const DoubleMoments& all = moments[0];
  const double reciprocal_count = all.count == 0 ? 0.0 : 1.0 / all.count;
  const double difference = all.sum * reciprocal_count;
  const double mean = all.count == 0 ? 0.0 : pivot + difference;
  const double unclamped =
      all.squares * reciprocal_count - difference * difference;
  const double variance = unclamped < 0 ? 0.0 : unclamped;
  const float rounded = static_cast<float>(mean);
  task.mean[thread.result] = rounded;
  task.variance[thread.result] = static_cast<float>(variance);
  task.residual[thread.result] = static_cast<float>(mean - rounded);
  if (task.rstd != nullptr) {
    task.rstd[thread.result] =
        static_cast<float>(1.0 / sqrt(variance + task.epsilon));
  }
  if (task.count != nullptr && group.channel == 0) {
    task.count[group.row] = static_cast<float>(all.count);
  }
}

// Writes sums over chunks and groups of channels. If rstd is not null, it
// writes the slope and offset of (x - mean) slope + offset, the gradient of x
// through the group's moments. If d_gamma is not null, a group is a channel, so
// gamma is a factor of the sums, and the sums without it are the gradients of
// gamma and beta.
KERAS_NORMS_DEVICE void PoolSums(const keras_norms::PoolSumsTask& task) {
  KERAS_NORMS_SHARED(DoubleSums, shared, kThreads);
  const PoolGeometry& g = task.geometry;
  const ResultThread thread(g);
  const GroupPartials group(g, thread.result);
  DoubleSums sums[1] = {};
  const float* const weights = task.d_gamma == nullptr ? task.gamma : nullptr;
  const auto index = [&](int i) { return group.Index(g, i); };
  ForEachPartial(g, thread, group.count, task.partials, index,
                 [&](int i, const SumsPartial& partial) {
                   const double gamma = weights == nullptr
                                            ? 1.0
                                            : weights[group.Channel(g, i)];
                   Merge(&sums[0], {gamma * partial.sum_g,
                                    gamma * partial.sum_g_centered});
                 });
  BlockReduce(sums, thread.thread_in_result, g.result_threads, g.block_results,
              shared);
  if (thread.thread_in_result != 0 || group.count == 0) return;
  double sum_g = sums[0].sum_g;
  const double sum_g_centered = sums[0].sum_g_centered;
  double sum_g_or_slope = sum_g, sum_g_centered_or_offset = sum_g_centered;
  if (task.rstd != nullptr) {
    const double rstd = task.rstd[thread.result];
    const double residual = task.residual[thread.result];
    double sum_g_normalized = (sum_g_centered - residual * sum_g) * rstd;
    if (task.d_gamma != nullptr) {
      task.d_beta[group.channel] = static_cast<float>(sum_g);
      task.d_gamma[group.channel] = static_cast<float>(sum_g_normalized);
      const double gamma =
          task.gamma == nullptr ? 1.0 : task.gamma[group.channel];
      sum_g *= gamma;
      sum_g_normalized *= gamma;
    }
    const double slope = -rstd * rstd * sum_g_normalized / task.group_elements;
    sum_g_centered_or_offset =
        -rstd * sum_g / task.group_elements - slope * residual;
    sum_g_or_slope = slope;
  }
  task.sum_g_or_slope[thread.result] = static_cast<float>(sum_g_or_slope);
  task.sum_g_centered_or_offset[thread.result] =
      static_cast<float>(sum_g_centered_or_offset);
}

// Writes the gradients of gamma and beta: sums over rows and chunks, for each
// channel.
KERAS_NORMS_DEVICE void AffineGradient(
    const keras_norms::AffineGradientTask& task) {
  KERAS_NORMS_SHARED(DoubleSums, shared, kThreads);
  const PoolGeometry& g = task.geometry;
  const ResultThread thread(g);
  const int channel = static_cast<int>(thread.result);
  const long long count = channel < g.channels ? g.rows * g.chunks : 0;
  DoubleSums sums[1] = {};
  const auto index = [&](long long i) { return i * g.channels + channel; };
  ForEachPartial(
      g, thread, count, task.partials, index,
      [&](long long i, const SumsPartial& partial) {
        const long long group =
            Quotient(i, g.chunks) * g.groups + channel / g.group_size;
        const double residual = task.residual[group];
        const double sum_g_centered =
            partial.sum_g_centered - residual * partial.sum_g;
        Merge(&sums[0], {partial.sum_g, sum_g_centered * task.rstd[group]});
      });
  BlockReduce(sums, thread.thread_in_result, g.result_threads, g.block_results,
              shared);
  if (thread.thread_in_result != 0 || channel >= g.channels) return;
  task.d_beta[channel] = static_cast<float>(sums[0].sum_g);
  task.d_gamma[channel] = static_cast<float>(sums[0].sum_g_centered);
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_COMBINE_PARTIALS_H_
