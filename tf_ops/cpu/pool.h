// Work items on any pool of threads.
//
// Waits for items, not for what the pool was given: a pool whose threads are
// all waiting themselves would never start it. The caller works too, so all
// items are done even if the pool never comes to any.

#ifndef KERAS_NORMS_CPU_POOL_H_
#define KERAS_NORMS_CPU_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "kernels.h"

namespace keras_norms {

class Pool : public Workers {
 public:
  using Schedule = std::function<void(std::function<void()>)>;

  Pool(int threads, Schedule schedule)
      : threads_(threads), schedule_(std::move(schedule)) {}

  int threads() const override { return threads_; }

  void Run(int64_t items, void (*work)(void*, int64_t),
           void* context) const override {
    const int64_t helpers = (items < threads_ ? items : threads_) - 1;
    if (helpers <= 0) {
      for (int64_t i = 0; i < items; ++i) work(context, i);
      return;
    }
    auto job = std::make_shared<Job>(items, work, context);
    for (int64_t i = 0; i < helpers; ++i) schedule_([job] { job->Work(); });
    job->Work();
    job->Wait();
  }

 private:
  class Job {
   public:
    Job(int64_t items, void (*work)(void*, int64_t), void* context)
        : items_(items), work_(work), context_(context) {}

    // After the last item is taken, `context` may be gone: it is not touched.
    void Work() {
      int64_t done = 0;
      for (int64_t i; (i = next_.fetch_add(1)) < items_; ++done) {
        work_(context_, i);
      }
      if (done > 0 && done_.fetch_add(done) + done == items_) {
        std::lock_guard<std::mutex> lock(mutex_);
        all_done_.notify_all();
      }
    }

    void Wait() {
      for (int i = 0; i < kSpins; ++i) {
        if (done_.load(std::memory_order_acquire) == items_) return;
      }
      std::unique_lock<std::mutex> lock(mutex_);
      all_done_.wait(lock, [this] { return done_.load() == items_; });
    }

   private:
    // Some microseconds: less than a thread takes to sleep and wake.
    static constexpr int kSpins = 20000;

    const int64_t items_;
    void (*const work_)(void*, int64_t);
    void* const context_;
    std::atomic<int64_t> next_{0};
    std::atomic<int64_t> done_{0};
    std::mutex mutex_;
    std::condition_variable all_done_;
  };

  int threads_;
  Schedule schedule_;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CPU_POOL_H_
