// Every live tunnel of this gateway, whichever worker owns it. A tunnel lives on the worker that
// accepted it; calls from other workers go there and back in messages, buffers moved. The fleet is told
// what each tunnel offers.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/fleet/fleet.h"
#include "gateway/http/http.h"
#include "gateway/net/net.h"
#include "gateway/tunnel/gateway_end.h"

namespace trib::tunnel {

class Hub {
 public:
  Hub(fleet::Fleet& fleet, fleet::SiteRegistry& registry, Clock& clock, std::vector<std::string> hosts,
      std::uint64_t answer_bytes_max);
  ~Hub();

  // On `loop`: takes an agent's connection whose certificate names `site`. Refused ones are closed.
  void adopt(Loop& loop, std::unique_ptr<Stream> stream, const net::TlsPeer& peer);

  // On `from`: a call on an offer behind a tunnel. Never null: a tunnel that is gone is told by a fault.
  std::unique_ptr<http::Call> call(Loop& from, const fleet::Tunnelled& to, http::CallRequest request,
                                   http::CallEvents& events);

  // What sites that dial in are told of the ledger's checkpoints: a page from a number on. Set before the
  // first adopt(); called on the tunnels' threads.
  void set_checkpoints(std::function<CheckpointPage(std::uint64_t from)> source) { checkpoints_ = std::move(source); }
  void checkpoints_grew();  // any thread: every site is told
  std::uint64_t checkpoints_refused() const { return checkpoints_refused_.load(); }  // that contradict what a site holds

  // Where the sites' signed roots of receipts go. Set before the first adopt(); called on the tunnels' threads.
  struct ReceiptSink {
    std::function<std::string(const std::string& site, std::string_view root)> take;  // why it contradicts; empty: it may stay
    struct Held {
      std::uint64_t upto = 0;  // on the disk
      bool settled = true;     // nothing is on its way there
    };
    std::function<Held(const std::string& site)> held;
  };
  void set_receipts(ReceiptSink sink) { receipts_ = std::move(sink); }

  // Any thread.
  void close_site(const std::string& site, const std::string& why);
  void drain();           // tells every agent that no new calls come
  std::size_t open() const;
  void clear();           // on shutdown, once the workers have stopped: destroys what is left

 private:
  struct Tunnel;
  std::shared_ptr<Tunnel> find(std::uint64_t number) const;
  void forget(std::uint64_t number);

  fleet::Fleet& fleet_;
  fleet::SiteRegistry& registry_;
  Clock& clock_;
  const std::vector<std::string> hosts_;
  const std::uint64_t answer_bytes_max_;
  std::function<CheckpointPage(std::uint64_t from)> checkpoints_;
  std::atomic<std::uint64_t> checkpoints_refused_{0};
  ReceiptSink receipts_;
  std::atomic<std::uint64_t> next_{1};
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Tunnel>> tunnels_;
};

}  // namespace trib::tunnel
