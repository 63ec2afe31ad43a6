// The second attempt of a hedged request; of this room only.
#pragma once
#include <algorithm>
#include <memory>
#include <string>

#include "gateway/exchange/exchange.h"

namespace trib::exchange {

// What a refusal names, in ms; 0: nothing that can be used.
std::int64_t retry_after_of(const http::ResponseHead& head);

// Until it is taken it keeps what its site says to itself; then it passes it on.
class Exchange::Rival final : public http::CallEvents {
 public:
  Rival(Exchange& exchange, fleet::OfferPtr offer, std::size_t index, std::int64_t begun_ns, std::int64_t deadline_ns)
      : exchange_(exchange), offer_(std::move(offer)), index_(index), begun_ns_(begun_ns), deadline_ns_(deadline_ns), open_(offer_->load) {}

  void on_head(const http::ResponseHead& head) override {
    if (taken_) return exchange_.on_head(head);
    status_ = head.status;
    type_ = head.find("Content-Type");
    retry_after_ = head.find("Retry-After");
    if (head.status != 200) refused_for_ms_ = retry_after_of(head);
  }
  void on_body(std::string_view bytes) override {
    if (taken_) return exchange_.on_body(bytes);
    if (status_ != 200) {
      error_.append(bytes.substr(0, error_bytes_max - std::min(error_bytes_max, error_.size())));
      return;
    }
    if (!exchange_.fits(type_)) {
      exchange_.rival_failed({FaultKind::bad_content_type, Side::engine, Retry::elsewhere, "another content type than asked for"});
      return;
    }
    Exchange& exchange = exchange_;  // the first byte decides; this lives on as the way of what follows
    exchange.end_attempt({FaultKind::outrun, Side::none, Retry::never, {}});
    exchange.excluded_.push_back(exchange.offer_->site);
    exchange.take_rival();  // its head fits, so it is taken for good
    exchange.on_body(bytes);
  }
  void on_end() override {
    if (taken_) return exchange_.on_end();
    call_.reset();
    if (status_ == 200) return exchange_.rival_failed({FaultKind::cut, Side::engine, Retry::elsewhere, "an empty answer"});
    exchange_.rival_failed(engines::classify_status(status_, engines::read_error(error_)));
  }
  void on_fault(const Fault& fault) override {
    if (taken_) return exchange_.on_fault(fault);
    exchange_.rival_failed(fault);
  }

  // Tells the exchange what was said before it was taken: the head, if there was one.
  void replay_head() {
    if (status_ == 0) return;
    const http::Field fields[] = {{"Content-Type", type_}, {"Retry-After", retry_after_}};
    http::ResponseHead head;
    head.status = status_;
    head.fields = std::span(fields).first(retry_after_.empty() ? 1 : 2);
    exchange_.on_head(head);
  }

  Exchange& exchange_;
  const fleet::OfferPtr offer_;
  const std::size_t index_;        // of its attempt
  const std::int64_t begun_ns_, deadline_ns_;
  fleet::OpenAttempt open_;
  std::unique_ptr<http::Call> call_;
  bool taken_ = false;
  std::int64_t refused_for_ms_ = 0;  // what a refusal named

 private:
  static constexpr std::size_t error_bytes_max = 64u << 10;
  int status_ = 0;
  std::string type_, retry_after_, error_;
};

}  // namespace trib::exchange
