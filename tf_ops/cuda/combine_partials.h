// The kernels that put parts together, in double: the moments of groups, what
// their gradients need, and those of gamma and beta.

#ifndef KERAS_NORMS_CUDA_POOLS_H_
#define KERAS_NORMS_CUDA_POOLS_H_

#include "parts.h"
#include "tasks.h"

namespace {

using keras_norms::PoolGeometry;

// The result of a thread, which `lanes` share: neighbours have neighbouring
// results.
struct Seat {
  int lane;
  long long result;

  explicit KERAS_NORMS_DEVICE Seat(const PoolGeometry& g)
      : lane(Thread() / g.each),
        result(static_cast<long long>(Block()) * g.each + Thread() % g.each) {}
};

// The parts of a group of a row, numbered: chunks of channels.
struct GroupParts {
  long long row;
  int channel;  // the first
  int count;

  KERAS_NORMS_DEVICE GroupParts(const PoolGeometry& g, long long result) {
    const int groups = g.channels / g.group_size;
    row = result / groups;
    channel = static_cast<int>(result % groups) * g.group_size;
    count = row < g.rows ? g.chunks * g.group_size : 0;
  }

  KERAS_NORMS_DEVICE int Channel(const PoolGeometry& g, int i) const {
    return channel + i % g.group_size;
  }

  KERAS_NORMS_DEVICE long long At(const PoolGeometry& g, int i) const {
    return (row * g.chunks + i / g.group_size) * g.channels + Channel(g, i);
  }
};

// use(i, part) for a thread's share of `count` parts, at(i) being where they
// are: some reads on their way at once.
template <class P, class I, class A, class F>
KERAS_NORMS_DEVICE void EachPart(const PoolGeometry& g, const Seat& seat,
                                 I count, const P* parts, const A& at,
                                 const F& use) {
  constexpr int n = 4;
  for (I i = seat.lane; i < count; i += n * g.lanes) {
    P read[n];
    KERAS_NORMS_UNROLL
    for (int k = 0; k < n; ++k) {
      if (i + k * g.lanes < count) read[k] = parts[at(i + k * g.lanes)];
    }
    KERAS_NORMS_UNROLL
    for (int k = 0; k < n; ++k) {
      if (i + k * g.lanes < count) use(i + k * g.lanes, read[k]);
    }
  }
}

KERAS_NORMS_DEVICE void PoolMoments(const keras_norms::PoolTask& task) {
  KERAS_NORMS_SHARED(WideMoments, shared, kFoldRoom<1>);
  const PoolGeometry& g = task.geometry;
  const Seat seat(g);
  const GroupParts parts(g, seat.result);
  const double pivot =
      parts.count == 0 ? 0.0 : task.parts[parts.At(g, 0)].pivot;
  WideMoments sums[1] = {};
  const auto at = [&](int i) { return parts.At(g, i); };
  EachPart(
      g, seat, parts.count, task.parts, at, [&](int, const MomentsPart& part) {
        if (part.count == 0) return;
        const double apart = (part.pivot - pivot) + part.offset;
        const double weighed = part.count * apart;
        Merge(&sums[0], {part.count, weighed, part.squares + weighed * apart});
      });
  Fold(sums, seat.lane, g.lanes, g.each, shared);
  if (seat.lane != 0 || parts.count == 0) return;
  const WideMoments& all = sums[0];
  const double over = all.count == 0 ? 0.0 : 1.0 / all.count;
  const double apart = all.sum * over;
  const double mean = all.count == 0 ? 0.0 : pivot + apart;
  const double squares = all.squares * over - apart * apart;
  const double variance = squares < 0 ? 0.0 : squares;
  const float near = static_cast<float>(mean);
  task.mean[seat.result] = near;
  task.residual[seat.result] = static_cast<float>(mean - near);
  task.spread[seat.result] = static_cast<float>(
      task.epsilon < 0 ? variance : 1.0 / sqrt(variance + task.epsilon));
  if (task.count != nullptr && parts.channel == 0) {
    task.count[parts.row] = static_cast<float>(all.count);
  }
}

// Sums over chunks; or, over a group, what its moments' gradients add to dx:
// (x - mean) b + d.
KERAS_NORMS_DEVICE void PoolSums(const keras_norms::PoolSumsTask& task) {
  KERAS_NORMS_SHARED(WideSums, shared, kFoldRoom<1>);
  const PoolGeometry& g = task.geometry;
  const Seat seat(g);
  const GroupParts parts(g, seat.result);
  WideSums sums[1] = {};
  const auto at = [&](int i) { return parts.At(g, i); };
  EachPart(g, seat, parts.count, task.parts, at,
           [&](int i, const SumsPart& part) {
             const double gamma =
                 task.gamma == nullptr ? 1.0 : task.gamma[parts.Channel(g, i)];
             Merge(&sums[0], {gamma * part.sum, gamma * part.product});
           });
  Fold(sums, seat.lane, g.lanes, g.each, shared);
  if (seat.lane != 0 || parts.count == 0) return;
  double one = sums[0].sum, two = sums[0].product;
  if (task.inverse != nullptr) {
    const double inverse = task.inverse[seat.result];
    const double residual = task.residual[seat.result];
    const double along = (two - residual * one) * inverse;
    const double b = -inverse * inverse * along / task.places;
    two = -inverse * one / task.places - b * residual;
    one = b;
  }
  task.one[seat.result] = static_cast<float>(one);
  task.two[seat.result] = static_cast<float>(two);
}

// The gradients of gamma and beta: over rows and chunks, for every channel.
KERAS_NORMS_DEVICE void AffineGradient(const keras_norms::AffineTask& task) {
  KERAS_NORMS_SHARED(WideSums, shared, kFoldRoom<1>);
  const PoolGeometry& g = task.geometry;
  const Seat seat(g);
  const int channel = static_cast<int>(seat.result);
  const int groups = g.channels / g.group_size;
  const long long count = channel < g.channels ? g.rows * g.chunks : 0;
  WideSums sums[1] = {};
  const auto at = [&](long long i) { return i * g.channels + channel; };
  EachPart(
      g, seat, count, task.parts, at, [&](long long i, const SumsPart& part) {
        const long long group = i / g.chunks * groups + channel / g.group_size;
        const double residual = task.residual[group];
        const double along = part.product - residual * part.sum;
        Merge(&sums[0], {part.sum, along * task.inverse[group]});
      });
  Fold(sums, seat.lane, g.lanes, g.each, shared);
  if (seat.lane != 0 || channel >= g.channels) return;
  task.d_beta[channel] = static_cast<float>(sums[0].sum);
  task.d_gamma[channel] = static_cast<float>(sums[0].product);
}

}  // namespace

#endif  // KERAS_NORMS_CUDA_POOLS_H_
