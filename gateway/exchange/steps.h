// What an attempt that goes on asks of its site, one after the other: the small questions of a way, then the
// request itself, whose answer is the exchange's; of this room only.
#pragma once
#include <memory>
#include <string>

#include "gateway/exchange/exchange.h"

namespace trib::exchange {

// Lives as long as the attempt. An attempt's deadline to its first token covers all of it.
class Exchange::Steps final : private http::CallEvents {
 public:
  Steps(Exchange& exchange, engines::GoingOn way) : exchange_(exchange), way_(std::move(way)) {}
  ~Steps() { world().hold_bytes(-held_bytes_); }

  void next();  // asks; may end the attempt
  // The request itself was refused. True: for how it went on, and that was seen to: another way is tried, or
  // the attempt has ended.
  bool refused(const Fault& fault);
  // An event in the shape of the way becomes one in the shape of the request. Valid until the next.
  void translate(http::SseEvent& event);

 private:
  void on_head(const http::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override;
  void on_end() override;
  void on_fault(const Fault& fault) override;
  void on_timer();
  void answered(int status, const Fault& fault);
  void close_way();
  World& world() { return exchange_.world_; }

  Exchange& exchange_;
  engines::GoingOn way_;
  std::unique_ptr<http::Call> call_;  // of a question
  unsigned asked_ = 0;
  int status_ = 0;
  std::string answer_, event_;
  std::int64_t held_bytes_ = 0;  // of answer_, against limits.buffers
  Fault last_;                   // why the last way ended
  MemberTimer<Steps, &Steps::on_timer> timer_{*this};
};

}  // namespace trib::exchange
