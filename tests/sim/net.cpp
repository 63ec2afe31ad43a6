#include "tests/sim/net.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace trib::sim {

namespace {

// Above 64 KiB the gateway and the agent read their engines no further; one read and one event still come.
constexpr std::size_t queue_bytes_max = 112u << 10;

}  // namespace

// A link. Held by its ends and by what is in flight.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(Net& net, const Weather& weather, std::uint64_t number) : net_(net), weather_(weather), number_(number) {
    Rng& rng = net.rng_;
    room_ = 512 + rng.below(weather.buffer_bytes_max);
    const auto mood = rng.below(20);
    piece_max_ = mood == 0 ? 1 : mood < 4 ? 40 : mood < 8 ? 600 : SIZE_MAX;
    if (net.chance(weather.reset_ppm)) trouble_ = Trouble::reset;
    else if (net.chance(weather.stall_ppm)) trouble_ = Trouble::stall;
    else if (net.chance(weather.freeze_ppm)) trouble_ = Trouble::freeze;
    if (trouble_ == Trouble::none) return;
    trouble_way_ = static_cast<int>(rng.below(2));
    trouble_at_ = rng.below(rng.below(4) == 0 ? 40'000 : weather.trouble_bytes_max);
  }
  ~Pipe() { net_.pipes_.erase(number_); }

  struct Way {           // what one side sends
    std::string queue;   // the sender's own memory: the kernel has not taken it
    std::string wire;    // in flight, then unread
    std::size_t arrived = 0;  // of the wire
    std::int64_t last_ns = 0;
    std::uint64_t delivered = 0, written = 0;
    std::uint64_t surplus_at = UINT64_MAX;  // bytes beyond are nobody's
    bool drain_due = false, drain_asked = false;
    bool fin = false, fin_flew = false, fin_here = false, fin_told = false;
    bool stalled = false;
    bool asked = false;  // a delivery is on its way
  };

  Timeline& timeline() { return net_.timeline_; }
  bool up(int side) const { return lives[side] == nullptr || lives[side]->alive(); }

  // Runs later, while the link lives.
  void later(std::int64_t delay_ns, void (Pipe::*what)(int), int side) {
    timeline().after(delay_ns, [self = shared_from_this(), what, side] { (self.get()->*what)(side); });
  }

  void write(int side, std::span<const std::string_view> pieces) {
    Way& way = ways[side];
    if (!up(side) || way.fin) return;
    if (error_due[side]) return later(0, &Pipe::tell_error, side);
    if (ways[1 - side].delivered > ways[1 - side].surplus_at)
      net_.violated_("a connection that had brought more than its answer was used again");
    for (const auto piece : pieces) {
      way.queue.append(piece);
      way.written += piece.size();
    }
    if (!open) return;
    take(side);
    if (!way.queue.empty()) way.drain_due = true;
    net_.figures_.queue_bytes_max = std::max(net_.figures_.queue_bytes_max, way.queue.size());
    if (way.queue.size() > queue_bytes_max) net_.violated_("a process holds " + std::to_string(way.queue.size()) + " bytes for a peer that does not take them");
  }

  // The kernel takes what it has room for.
  void take(int side) {
    Way& way = ways[side];
    if (dead || !open) return;
    const std::size_t room = room_ > way.wire.size() ? room_ - way.wire.size() : 0;
    const std::size_t n = std::min(room, way.queue.size());
    if (n > 0) {
      way.wire.append(way.queue, 0, n);
      way.queue.erase(0, n);
      fly(side, n);
    }
    if (!way.queue.empty()) return;
    if (way.drain_due && !way.drain_asked) {
      way.drain_asked = true;
      later(0, &Pipe::tell_drained, side);
    }
    if (way.fin && !way.fin_flew) {
      way.fin_flew = true;
      fly(side, 0);
    }
  }

  void fly(int side, std::size_t n) {
    Way& way = ways[side];
    way.last_ns = std::max(way.last_ns, timeline().mono_ns() + net_.latency(weather_));
    timeline().after(way.last_ns - timeline().mono_ns(), [self = shared_from_this(), side, n] { self->arrive(side, n); });
  }

  void arrive(int side, std::size_t n) {
    if (dead || frozen) return;
    Way& way = ways[side];
    if (n == 0) way.fin_here = true;
    way.arrived += n;
    if (ends[1 - side] == nullptr) {  // nobody is there any more
      if (n > 0) kill(side, 0);
      return;
    }
    deliver(side);
  }

  void ask(int side) {
    if (std::exchange(ways[side].asked, true)) return;
    later(static_cast<std::int64_t>(net_.rng_.below(200)) * us, &Pipe::asked, side);
  }
  void asked(int side) {
    ways[side].asked = false;
    deliver(side);
  }

  bool readable(int side) const {
    const PipeEnd* to = ends[1 - side];
    return !dead && !frozen && !ways[side].stalled && to != nullptr && to->handler_ != nullptr && to->reading_ && up(1 - side);
  }

  // Hands the reader what has arrived, in pieces.
  void deliver(int side) {
    if (std::exchange(delivering_[side], true)) return;
    const auto keep = shared_from_this();
    Way& way = ways[side];
    bool took = false;
    while (readable(side) && way.arrived > 0) {
      std::size_t n = way.arrived;
      if (piece_max_ != SIZE_MAX) n = std::min<std::size_t>(n, 1 + net_.rng_.below(piece_max_));
      const bool trouble = trouble_ != Trouble::none && trouble_way_ == side && way.delivered + n >= trouble_at_;
      if (trouble) n = trouble_at_ > way.delivered ? trouble_at_ - way.delivered : 0;
      if (n > 0) {
        const std::string piece(way.wire, 0, n);
        way.wire.erase(0, n);
        way.arrived -= n;
        way.delivered += n;
        took = true;
        ++net_.figures_.pieces;
        net_.figures_.bytes += n;
        net_.digest_ = (net_.digest_ ^ static_cast<std::uint64_t>(timeline().mono_ns()) ^ number_ ^ n << 32) * 1099511628211ULL;
        ends[1 - side]->handler_->on_bytes(piece);
      }
      if (trouble) befall(side);
      if (net_.rng_.below(16) == 0) {
        ask(side);
        break;
      }
    }
    delivering_[side] = false;
    if (took && !dead) later(net_.latency(weather_), &Pipe::take, side);
    if (readable(side) && way.arrived == 0 && way.fin_here && !way.fin_told) {
      way.fin_told = true;
      ends[1 - side]->handler_->on_end();
    }
  }

  void befall(int side) {
    switch (std::exchange(trouble_, Trouble::none)) {
      case Trouble::none:
        return;
      case Trouble::reset:
        ++net_.figures_.resets;
        troubled = true;
        kill(0, static_cast<std::int64_t>(net_.rng_.below(3)) * ms);
        kill(1, static_cast<std::int64_t>(net_.rng_.below(3)) * ms);
        return;
      case Trouble::stall:
        ++net_.figures_.stalls;
        troubled = true;
        ways[side].stalled = true;
        later(static_cast<std::int64_t>(net_.rng_.below(static_cast<std::uint64_t>(weather_.stall_ns_max))), &Pipe::go_on, side);
        return;
      case Trouble::freeze:
        ++net_.figures_.freezes;
        troubled = frozen = true;
        return;
    }
  }
  void go_on(int side) {
    ways[side].stalled = false;
    deliver(side);
  }

  // A reset comes to `side`, after a while.
  void kill(int side, std::int64_t delay_ns) { later(delay_ns, &Pipe::killed, side); }
  void killed(int side) {
    dead = true;
    ways[side].queue.clear();
    if (error_due[side]) return;
    error_due[side] = true;
    PipeEnd* const end = ends[side];
    if (end != nullptr && (end->reading_ || ways[side].drain_due)) tell_error(side);
  }
  void tell_error(int side) {
    PipeEnd* const end = ends[side];
    if (end == nullptr || end->handler_ == nullptr || !up(side)) return;
    StreamHandler* const handler = std::exchange(end->handler_, nullptr);
    handler->on_error({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, "connection reset by peer"});
  }

  void tell_drained(int side) {
    Way& way = ways[side];
    way.drain_asked = false;
    PipeEnd* const end = ends[side];
    if (dead || !way.queue.empty() || !way.drain_due || end == nullptr || end->handler_ == nullptr || !up(side)) return;
    way.drain_due = false;
    end->handler_->on_drained();
  }

  // The end goes. What the kernel has is still sent; unread input makes the peer see a reset.
  void leave(int side, bool with_reset) {
    ends[side] = nullptr;
    if (dead) return;
    Way& way = ways[side];
    way.queue.clear();
    way.drain_due = false;
    if (!open) {
      dead = true;
      return;
    }
    if (with_reset || ways[1 - side].arrived > 0) {
      if (net_.rng_.below(2) == 0) way.wire.clear(), way.arrived = 0, dead = true;
      kill(1 - side, net_.latency(weather_) + std::max<std::int64_t>(0, way.last_ns - timeline().mono_ns()));
      return;
    }
    if (way.fin) return;
    way.fin = true;
    take(side);
  }

  void wake_reader(int side) {  // of what the other side sends
    if (error_due[side]) return later(0, &Pipe::tell_error, side);
    Way& way = ways[1 - side];
    if (way.arrived > 0 || (way.fin_here && !way.fin_told)) ask(1 - side);
  }

  Way ways[2];
  PipeEnd* ends[2] = {nullptr, nullptr};
  std::shared_ptr<Life> lives[2];
  bool error_due[2] = {false, false};
  bool open = false, dead = false, frozen = false, troubled = false;
  Net& net_;
  const Weather weather_;
  const std::uint64_t number_;

 private:
  enum class Trouble { none, reset, stall, freeze };
  std::size_t room_, piece_max_;
  Trouble trouble_ = Trouble::none;
  int trouble_way_ = 0;
  std::uint64_t trouble_at_ = 0;
  bool delivering_[2] = {false, false};
};

PipeEnd::PipeEnd(std::shared_ptr<Pipe> pipe, int side, std::string peer) : pipe_(std::move(pipe)), side_(side), peer_(std::move(peer)) {
  pipe_->ends[side_] = this;
}

PipeEnd::~PipeEnd() {
  if (pipe_->ends[side_] == this) pipe_->leave(side_, false);
}

void PipeEnd::resume() {
  reading_ = true;
  pipe_->wake_reader(side_);
}

void PipeEnd::write(std::span<const std::string_view> pieces) { pipe_->write(side_, pieces); }
std::size_t PipeEnd::unsent_bytes() const { return pipe_->ways[side_].queue.size(); }

void PipeEnd::shutdown() {
  if (!pipe_->up(side_)) return;
  pipe_->ways[side_].fin = true;
  pipe_->take(side_);
}

void PipeEnd::reset() {
  if (pipe_->ends[side_] == this) pipe_->leave(side_, true);
}

void PipeEnd::surplus_follows() { pipe_->ways[side_].surplus_at = pipe_->ways[side_].written; }
bool PipeEnd::troubled() const { return pipe_->troubled || pipe_->frozen; }

std::int64_t Net::latency(const Weather& weather) {
  const auto span = static_cast<std::uint64_t>(weather.latency_ns_max - weather.latency_ns_min + 1);
  return weather.latency_ns_min + static_cast<std::int64_t>(rng_.below(span));
}

void Net::listen(const std::string& address, std::shared_ptr<Life> life, const Weather& weather, Accept accept) {
  doors_.insert_or_assign(address, Door{std::move(life), weather, std::move(accept)});
}

std::unique_ptr<PipeEnd> Net::dial(const std::string& from, std::shared_ptr<Life> life, const std::string& address, StreamHandler& handler) {
  const auto door = doors_.find(address);
  const Weather weather = door == doors_.end() ? Weather{} : door->second.weather;
  const auto number = next_++;
  auto pipe = std::make_shared<Pipe>(*this, weather, number);
  pipes_.emplace(number, pipe);
  pipe->lives[0] = std::move(life);
  auto end = std::make_unique<PipeEnd>(pipe, 0, address);
  end->set_handler(handler);
  ++figures_.links;
  if (chance(weather.lost_dial_ppm)) {
    ++figures_.lost;
    pipe->troubled = pipe->frozen = true;
    return end;
  }
  timeline_.after(latency(weather), [this, pipe, address, from] {
    if (pipe->ends[0] == nullptr || !pipe->up(0)) return;
    const auto found = doors_.find(address);
    if (found == doors_.end() || !found->second.life->alive()) {
      ++figures_.refused;
      pipe->dead = true;
      StreamHandler* const told = std::exchange(pipe->ends[0]->handler_, nullptr);
      if (told != nullptr) told->on_error({FaultKind::connect_refused, Side::site_network, Retry::elsewhere, "connection refused"});
      return;
    }
    pipe->open = true;
    pipe->lives[1] = found->second.life;
    auto other = std::make_unique<PipeEnd>(pipe, 1, from);
    pipe->ends[0]->handler_->on_open();
    pipe->take(0);
    found->second.accept(std::move(other), from);
  });
  return end;
}

void Net::bury(const Life& life, bool silent) {
  for (auto it = doors_.begin(); it != doors_.end();) it = it->second.life.get() == &life ? doors_.erase(it) : std::next(it);
  std::vector<std::shared_ptr<Pipe>> theirs;
  for (const auto& [number, weak] : pipes_)
    if (auto pipe = weak.lock()) theirs.push_back(std::move(pipe));
  for (const auto& pipe : theirs) {
    for (int side = 0; side < 2; ++side) {
      if (pipe->lives[side].get() != &life) continue;
      pipe->troubled = true;
      if (pipe->ends[side] == nullptr) continue;
      if (!silent) {
        pipe->leave(side, rng_.below(2) == 0);
        continue;
      }
      pipe->ends[side] = nullptr;
      pipe->ways[side].queue.clear();
      pipe->frozen = true;
      const auto delay = static_cast<std::int64_t>(rng_.below(3'000)) * ms;
      if (rng_.below(2) == 0) pipe->kill(1 - side, delay);  // else nobody ever tells
    }
  }
}

}  // namespace trib::sim
