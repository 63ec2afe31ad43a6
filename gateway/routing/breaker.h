// The breaker of one offer: closed, open, half-open. A pure state machine over values; the shared word
// of fleet::OfferBreaker holds one packed, and `change` exchanges it without a lock.
//
// It opens at three failures in a row, or when half of the last sixteen (eight at least) were failures.
// After 30 s, doubling with each opening to 16 min, one request at a time may try it: one good answer
// closes it, one failure opens it again. Sixteen good answers without a failure forget the doubling.
#pragma once
#include <atomic>
#include <cstdint>

namespace trib::routing {

enum class Verdict : std::uint8_t {
  good,
  bad,      // in its supplier's hands
  neutral,  // the customer's, the gateway's, the owner's or nobody's: says nothing about the offer
};

struct Breaker {
  static constexpr unsigned in_a_row_max = 3;
  static constexpr unsigned window = 16, window_min = 8;
  static constexpr unsigned doublings_max = 5;
  static constexpr std::uint32_t open_ds = 300;   // tenths of seconds
  static constexpr std::uint32_t trial_ds = 600;  // a trial that is not heard of for so long is lost
  static constexpr std::uint32_t patience_ds = 100;

  enum class Phase : std::uint8_t { closed, open, half_open };
  Phase phase = Phase::closed;
  std::uint8_t in_a_row = 0;      // failures
  std::uint8_t doublings = 0;
  std::uint8_t seen = 0;          // of `history`
  std::uint16_t history = 0;      // the last verdicts, 1 a failure, the newest lowest
  std::uint32_t until_ds = 0;     // open: when it may be tried; half-open: when its trial is lost
  friend bool operator==(const Breaker&, const Breaker&) = default;

  std::uint64_t pack() const;
  static Breaker unpack(std::uint64_t word);

  // May a request go there? Not closed: one of low value as the trial, or any when none of low value
  // has come for ten seconds.
  bool admits(std::uint32_t now_ds, bool low_value) const;
  // The trial goes out now. Whoever sends it must have won the exchange of the word.
  Breaker trying(std::uint32_t now_ds) const;
  // What came of an attempt, a trial or not.
  Breaker told(Verdict verdict, std::uint32_t now_ds) const;
  // A failure turns out to be the request's own: the newest one is taken back.
  Breaker forgiven() const;
};

inline std::uint32_t deciseconds(std::int64_t mono_ns) { return static_cast<std::uint32_t>(mono_ns / 100'000'000); }

// Applies `next` to the shared word. Returns false where `next` leaves it as it is.
template <class Next>
bool change(std::atomic<std::uint64_t>& word, Next next) {
  auto seen = word.load(std::memory_order_relaxed);
  while (true) {
    const auto wanted = next(Breaker::unpack(seen)).pack();
    if (wanted == seen) return false;
    if (word.compare_exchange_weak(seen, wanted, std::memory_order_relaxed)) return true;
  }
}

}  // namespace trib::routing
