// What is known of the offers at the moment, beside what they are: the load that the engines' own
// metrics pages tell, and until when the site is likely to lend. Puts both into the offers on their way
// from the book to the tunnel. What is not known stays absent. One thread. Room-private.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/agent/forward.h"

namespace trib::agent {

// The next time of day on this machine's clock after `wall_ms`, as Unix ms.
std::int64_t next_time_of_day(std::int64_t wall_ms, int minutes);

class Moment {
 public:
  // `until_min`: minutes after midnight at which lending usually ends.
  Moment(Forwarder::CallEngine call, const Forwarder& engines, TimerWheel& wheel, const Clock& clock,
         std::optional<int> until_min);
  ~Moment();

  // All offers, of engines that the forwarder knows by now.
  void offer(std::vector<fleet::AgentOffer> offers);
  std::function<void(std::vector<fleet::AgentOffer>)> on_offers;  // the same with what is known, after each news

 private:
  class Page;  // of one engine
  void tell();
  void look_at_clock();

  Forwarder::CallEngine call_;
  const Forwarder& engines_;
  TimerWheel& wheel_;
  const Clock& clock_;
  const std::optional<int> until_min_;
  std::int64_t leaves_ns_ = 0;
  std::vector<fleet::AgentOffer> offers_;
  std::map<std::string, std::unique_ptr<Page>> pages_;  // by address
  MemberTimer<Moment, &Moment::look_at_clock> clock_timer_{*this};
};

}  // namespace trib::agent
