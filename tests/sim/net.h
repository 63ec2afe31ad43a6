// The simulated network: connections between processes with seeded latency, bytes that arrive in
// pieces, bounded buffers, and trouble - resets at a byte, stalls, silence, refused dials. A Stream
// over it keeps every promise of gateway/base/transport.h and none beyond.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gateway/base/base.h"
#include "tests/sim/timeline.h"

namespace trib::sim {

// How bad it is on links of one kind. Chances in ppm, of each link made.
struct Weather {
  std::int64_t latency_ns_min = 50 * us, latency_ns_max = 2 * ms;
  std::uint32_t reset_ppm = 0;   // at some byte
  std::uint32_t stall_ppm = 0;   // one way stops for a while
  std::uint32_t freeze_ppm = 0;  // nothing comes through any more, and nobody is told
  std::uint32_t lost_dial_ppm = 0;
  std::uint64_t trouble_bytes_max = 4'000;
  std::int64_t stall_ns_max = 3 * second;
  std::size_t buffer_bytes_max = 16u << 10;
};

class Pipe;
class Net;

// One end of a link. A process that has died writes no more.
class PipeEnd final : public Stream {
 public:
  PipeEnd(std::shared_ptr<Pipe> pipe, int side, std::string peer);
  ~PipeEnd() override;
  void set_handler(StreamHandler& handler) override { handler_ = &handler; }
  void resume() override;
  void pause() override { reading_ = false; }
  void write(std::span<const std::string_view> pieces) override;
  using Stream::write;
  std::size_t unsent_bytes() const override;
  void shutdown() override;
  std::string peer() const override { return peer_; }

  void reset();  // closes with a reset at once, whatever is under way
  // What has been written so far is the last of an answer: a peer that has read beyond it may not
  // write again on this link.
  void surplus_follows();
  bool troubled() const;  // the network, or the other process's death, has hurt this link

 private:
  friend class Pipe;
  friend class Net;
  std::shared_ptr<Pipe> pipe_;
  const int side_;
  const std::string peer_;
  StreamHandler* handler_ = nullptr;
  bool reading_ = false;
};

struct NetFigures {
  std::uint64_t links = 0, refused = 0, lost = 0, resets = 0, stalls = 0, freezes = 0, bytes = 0, pieces = 0;
  std::size_t queue_bytes_max = 0;  // of what a process held because its peer did not take it
};

class Net {
 public:
  using Accept = std::function<void(std::unique_ptr<PipeEnd> stream, const std::string& from)>;
  Net(Timeline& timeline, Rng& rng, std::function<void(std::string)> violated)
      : timeline_(timeline), rng_(rng), violated_(std::move(violated)) {}

  void listen(const std::string& address, std::shared_ptr<Life> life, const Weather& weather, Accept accept);
  void unlisten(const std::string& address) { doors_.erase(address); }
  std::unique_ptr<PipeEnd> dial(const std::string& from, std::shared_ptr<Life> life, const std::string& address, StreamHandler& handler);
  // The sockets of a process that dies. `silent`: its machine went with it, and peers learn of it late.
  void bury(const Life& life, bool silent);
  const NetFigures& figures() const { return figures_; }
  std::size_t links_open() const { return pipes_.size(); }
  std::uint64_t digest() const { return digest_; }  // of all that has arrived, and when

 private:
  friend class Pipe;
  struct Door {
    std::shared_ptr<Life> life;
    Weather weather;
    Accept accept;
  };
  std::int64_t latency(const Weather& weather);
  bool chance(std::uint32_t ppm) { return ppm != 0 && rng_.below(1'000'000) < ppm; }

  Timeline& timeline_;
  Rng& rng_;
  std::function<void(std::string)> violated_;
  std::map<std::string, Door> doors_;
  std::map<std::uint64_t, std::weak_ptr<Pipe>> pipes_;
  std::uint64_t next_ = 1, digest_ = 14695981039346656037ULL;
  NetFigures figures_;
};

// The Transport of one process.
class NetTransport final : public Transport {
 public:
  NetTransport(Net& net, std::shared_ptr<Life> life, std::string host) : net_(net), life_(std::move(life)), host_(std::move(host)) {}
  std::unique_ptr<Stream> dial(const Endpoint& to, StreamHandler& handler) override {
    return net_.dial(host_, life_, to.host + ':' + std::to_string(to.port), handler);
  }

 private:
  Net& net_;
  std::shared_ptr<Life> life_;
  const std::string host_;
};

}  // namespace trib::sim
