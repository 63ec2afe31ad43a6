// One end of a connection in memory, and the test's hand on the other: what is said arrives at once,
// what is written is taken only as far as the test allows. Bytes that arrive are gone after the call,
// so that a view kept too long is found by the address sanitizer.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gateway/base/base.h"

namespace trib::test {

class HandClock final : public Clock {
 public:
  std::int64_t mono_ns() const override { return now_ns; }
  std::int64_t wall_ms() const override { return 1'800'000'000'000 + now_ns / 1'000'000; }
  std::int64_t now_ns = 1'000'000'000;
};

// The far end. Outlives the stream.
struct Wire {
  StreamHandler* handler = nullptr;  // null once the stream is destroyed
  bool reading = false, shut = false, alive = true;
  std::size_t room = SIZE_MAX;  // bytes that are taken at once; the rest queues
  std::string got;              // taken by the far end
  std::string queued;           // written, not taken yet
  std::string unread;           // said while the near end was not reading
  std::size_t writes = 0;
  Endpoint to;  // of a dialled one

  // Delivers now if the near end reads, else later. True when all of it was delivered.
  bool say(std::string_view bytes) {
    unread += bytes;
    return flow();
  }
  bool flow() {
    while (!unread.empty() && reading && handler != nullptr) {
      auto copy = std::make_unique<std::string>(std::exchange(unread, {}));
      copy->shrink_to_fit();
      handler->on_bytes(*copy);
    }
    return unread.empty();
  }
  void take(std::size_t bytes) {
    const auto n = std::min(bytes, queued.size());
    if (n == 0) return;
    got += queued.substr(0, n);
    queued.erase(0, n);
    if (queued.empty() && handler != nullptr) handler->on_drained();
  }
  void open() {
    if (handler != nullptr) handler->on_open();
  }
  void end() {
    if (handler != nullptr) handler->on_end();
  }
  void fail(FaultKind kind = FaultKind::reset_before_head) {
    if (auto* const told = std::exchange(handler, nullptr); told != nullptr)
      told->on_error({kind, Side::site_network, Retry::elsewhere, "broken by the test"});
  }
};

class WireStream final : public Stream {
 public:
  explicit WireStream(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  ~WireStream() override {
    wire_->handler = nullptr;
    wire_->alive = false;
    wire_->queued.clear();  // as a closed socket drops it
  }
  void set_handler(StreamHandler& handler) override { wire_->handler = &handler; }
  void resume() override { wire_->reading = true; }
  void pause() override { wire_->reading = false; }
  void write(std::span<const std::string_view> pieces) override {
    ++wire_->writes;
    for (const auto piece : pieces) wire_->queued += piece;
    const auto n = std::min(wire_->room, wire_->queued.size());
    wire_->got += wire_->queued.substr(0, n);
    wire_->queued.erase(0, n);
    if (wire_->room != SIZE_MAX) wire_->room -= n;
  }
  using Stream::write;
  std::size_t unsent_bytes() const override { return wire_->queued.size(); }
  void shutdown() override { wire_->shut = true; }
  std::string peer() const override { return "192.0.2.1:1"; }

 private:
  std::shared_ptr<Wire> wire_;
};

// Dials wires; the test opens or fails them.
class WireTransport final : public Transport {
 public:
  std::unique_ptr<Stream> dial(const Endpoint& to, StreamHandler& handler) override {
    auto wire = std::make_shared<Wire>();
    wire->handler = &handler;
    wire->to = to;
    wires.push_back(wire);
    return std::make_unique<WireStream>(wire);
  }
  std::vector<std::shared_ptr<Wire>> wires;
};

}  // namespace trib::test
