// Two ends of an in-memory connection under a virtual clock: bytes arrive in pieces of random size,
// in the order of random turns.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "gateway/base/base.h"

namespace trib::test {

class VirtualClock final : public Clock {
 public:
  std::int64_t mono_ns() const override { return now_; }
  std::int64_t wall_ms() const override { return 1'800'000'000'000 + now_ / 1'000'000; }
  std::int64_t now_ = 1'000'000'000;
};

class PipeEnd;

// What both ends share; outlives either.
struct Pipe {
  struct Way {
    std::string bytes;  // written, not yet arrived
    bool fin = false, fin_seen = false;
    std::uint64_t total = 0;
  };
  Way ways[2];
  PipeEnd* ends[2] = {nullptr, nullptr};
  bool frozen[2] = {false, false};  // nothing arrives at that end
};

class PipeEnd final : public Stream {
 public:
  PipeEnd(std::shared_ptr<Pipe> pipe, int side) : pipe_(std::move(pipe)), side_(side) {
    pipe_->ends[side_] = this;
  }
  ~PipeEnd() override {
    pipe_->ends[side_] = nullptr;
    out().fin = true;
  }
  void set_handler(StreamHandler& handler) override { handler_ = &handler; }
  void resume() override { reading_ = true; }
  void pause() override { reading_ = false; }
  void write(std::span<const std::string_view> pieces) override {
    for (const auto piece : pieces) {
      out().bytes += piece;
      out().total += piece.size();
    }
  }
  using Stream::write;
  std::size_t unsent_bytes() const override { return pipe_->ways[side_].bytes.size(); }
  void shutdown() override { out().fin = true; }
  std::string peer() const override { return "pipe"; }

  Pipe::Way& out() { return pipe_->ways[side_]; }
  std::shared_ptr<Pipe> pipe_;
  int side_;
  StreamHandler* handler_ = nullptr;
  bool reading_ = false;
};

// Moves one random piece; false when nothing can move.
inline bool move_piece(Pipe& pipe, int from, Rng& rng, std::size_t piece_max) {
  Pipe::Way& way = pipe.ways[from];
  PipeEnd* to = pipe.ends[1 - from];
  if (to == nullptr || to->handler_ == nullptr || !to->reading_ || pipe.frozen[1 - from])
    return false;
  if (!way.bytes.empty()) {
    const auto bytes =
        std::min<std::size_t>(way.bytes.size(), 1 + static_cast<std::size_t>(rng.below(piece_max)));
    const std::string piece = way.bytes.substr(0, bytes);
    way.bytes.erase(0, bytes);
    to->handler_->on_bytes(piece);
    PipeEnd* writer = pipe.ends[from];
    if (way.bytes.empty() && writer != nullptr && writer->handler_ != nullptr)
      writer->handler_->on_drained();
    return true;
  }
  if (way.fin && !way.fin_seen) {
    way.fin_seen = true;
    to->handler_->on_end();
    return true;
  }
  return false;
}

inline void run_pipe(Pipe& pipe, Rng& rng, std::size_t piece_max = 3000,
                     int steps_max = 1'000'000) {
  for (int quiet = 0; quiet < 2 && steps_max > 0; --steps_max) {
    const int first = static_cast<int>(rng.below(2));
    if (move_piece(pipe, first, rng, piece_max) || move_piece(pipe, 1 - first, rng, piece_max)) {
      quiet = 0;
    } else {
      ++quiet;
    }
  }
}

}  // namespace trib::test
