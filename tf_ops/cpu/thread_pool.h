// Runs work items on any pool of threads.
//
// It waits until all items are done, not until all scheduled tasks have run: a
// pool whose threads are all waiting would never run them. The caller works
// too, so all items are done even if the pool runs no task.

#ifndef KERAS_NORMS_CPU_THREAD_POOL_H_
#define KERAS_NORMS_CPU_THREAD_POOL_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "kernels.h"

namespace keras_norms {

class ThreadPool : public Workers {
 public:
  using Schedule = std::function<void(std::function<void()>)>;

  ThreadPool(int threads, Schedule schedule)
      : threads_(threads), schedule_(std::move(schedule)) {}

  int threads() const override { return threads_; }

  void Run(int64_t items, void (*work)(void*, int64_t),
           void* context) const override {
    const int64_t wanted = items < threads_ ? items : threads_;
    if (wanted <= 1) {
      for (int64_t i = 0; i < items; ++i) work(context, i);
      return;
    }
    auto job = std::make_shared<Job>(items, wanted, work, context, schedule_);
    job->ScheduleTasks(wanted - 1);
    job->Work();
    job->Wait();
  }

 private:
  class Job : public std::enable_shared_from_this<Job> {
   public:
    Job(int64_t items, int64_t wanted, void (*work)(void*, int64_t),
        void* context, Schedule schedule)
        : items_(items),
          wanted_(wanted),
          work_(work),
          context_(context),
          schedule_(std::move(schedule)) {}

    void ScheduleTasks(int64_t tasks) {
      for (int64_t i = 0; i < tasks; ++i) {
        schedule_([job = shared_from_this()] { job->Work(); });
      }
    }

    // The context and the scheduler are valid until the last item is done, and
    // are not used after it.
    void Work() {
      ++working_;
      int64_t done = 0;
      for (int64_t i; (i = next_.fetch_add(1)) < items_;) {
        work_(context_, i);
        ++done;
        if (working_ < wanted_ && next_ < items_) ScheduleAgain();
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
    using Clock = std::chrono::steady_clock;

    // Shorter than the time to put a thread to sleep and wake it.
    static constexpr int kSpins = 20000;
    // Longer than the time to wake a thread.
    static constexpr std::chrono::microseconds kPatience{100};

    // A woken thread may be queued for milliseconds on the processor of the
    // thread that woke it, while other processors are idle. Once, other threads
    // are scheduled too.
    void ScheduleAgain() {
      if (scheduled_again_ || Clock::now() - start_ < kPatience) return;
      if (!scheduled_again_.exchange(true)) ScheduleTasks(wanted_ - working_);
    }

    const int64_t items_;
    const int64_t wanted_;
    void (*const work_)(void*, int64_t);
    void* const context_;
    const Schedule schedule_;
    const Clock::time_point start_ = Clock::now();
    std::atomic<int64_t> next_{0};
    std::atomic<int64_t> working_{0};
    std::atomic<int64_t> done_{0};
    std::atomic<bool> scheduled_again_{false};
    std::mutex mutex_;
    std::condition_variable all_done_;
  };

  int threads_;
  Schedule schedule_;
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_CPU_THREAD_POOL_H_
