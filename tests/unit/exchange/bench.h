// A world for one exchange: engines that say what the test scripts, a journal that releases when the
// test says so, and a customer who checks at every byte that it was allowed to leave.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/exchange/exchange.h"
#include "tests/catch.h"
#include "tests/support/wire.h"

namespace trib::test {

class HandJournal final : public metering::Journal {
 public:
  metering::Lsn append(metering::RecordRef given) override {
    const metering::Record record = given.copy();
    if (failed_ || (refuse && refuse(record))) return 0;
    records.push_back(record);
    if (at_once) released_ = records.size();
    return records.size();
  }
  metering::Lsn released() const override { return released_; }
  metering::Lsn durable() const override { return released_; }
  std::error_code failed() const override { return failed_; }
  void on_released(std::function<void()>) override {}
  bool pump() override { return false; }
  void wait(std::int64_t) override {}
  std::error_code read(metering::Lsn, const Visit&) override { return {}; }
  Sha256 hash_at(metering::Lsn) override { return {}; }
  metering::Lsn first() const override { return 1; }
  metering::Lsn last() const override { return records.size(); }
  std::error_code trim(metering::Lsn) override { return {}; }

  void release(metering::Lsn upto = UINT64_MAX) {
    if (!failed_) released_ = std::max(released_, std::min<metering::Lsn>(upto, records.size()));
  }
  void fail() { failed_ = std::make_error_code(std::errc::io_error); }
  template <class T>
  std::vector<const T*> all() const {
    std::vector<const T*> out;
    for (const auto& record : records)
      if (const auto* const one = std::get_if<T>(&record)) out.push_back(one);
    return out;
  }
  // The number of the last record of a kind; 0: none.
  template <class T>
  metering::Lsn last_of() const {
    for (auto i = records.size(); i > 0; --i)
      if (std::holds_alternative<T>(records[i - 1])) return i;
    return 0;
  }
  std::vector<metering::Record> records;
  bool at_once = true;  // released as it is appended
  std::function<bool(const metering::Record&)> refuse;

 private:
  metering::Lsn released_ = 0;
  std::error_code failed_;
};

// The far end of one call. `events` is null once the call is gone.
struct Far {
  fleet::OfferPtr offer;
  http::CallRequest request;
  http::CallEvents* events = nullptr;
  bool paused = false;
  int pauses = 0, resumes = 0;

  void head(int status, std::string_view type, std::string_view retry_after = {}) {
    if (events == nullptr) return;
    std::vector<http::Field> fields{{"Content-Type", type}};
    if (!retry_after.empty()) fields.push_back({"Retry-After", retry_after});
    http::ResponseHead head;
    head.status = status;
    head.fields = fields;
    events->on_head(head);
  }
  void body(std::string_view bytes) {
    if (events == nullptr || bytes.empty()) return;
    const auto copy = std::make_unique<std::string>(bytes);  // gone after the call
    events->on_body(*copy);
  }
  void end() {
    if (auto* const told = std::exchange(events, nullptr); told != nullptr) told->on_end();
  }
  void fault(FaultKind kind, Side side = Side::site_network, Retry retry = Retry::elsewhere) {
    if (auto* const told = std::exchange(events, nullptr); told != nullptr) told->on_fault({kind, side, retry, "scripted"});
  }
};

class FarCall final : public http::Call {
 public:
  explicit FarCall(std::shared_ptr<Far> far) : far_(std::move(far)) {}
  ~FarCall() override { far_->events = nullptr; }
  void pause() override {
    far_->paused = true;
    ++far_->pauses;
  }
  void resume() override {
    far_->paused = false;
    ++far_->resumes;
  }
  bool sent() const override { return true; }

 private:
  std::shared_ptr<Far> far_;
};

class Bench final : public exchange::World, public net::Responder {
 public:
  Bench() : wheel_(clock_.now_ns), rng_(7), figures_(registry) {
    price.model = "m";
    price.version = 1;
    price.input = money::Price::pico_per_unit(500'000);
    price.cached_input = money::Price::pico_per_unit(100'000);
    price.output = money::Price::pico_per_unit(2'000'000);
    price.reasoning = money::Price::pico_per_unit(3'000'000);
    auto book = std::make_shared<ledger::Book>();
    book->prices["m"] = {price};
    ledger::ContractVersion contract;
    contract.contract = "standard";
    contract.version = 3;
    contract.shares = {300'000, 650'000, 50'000, 0};
    ledger::ContractVersion first = contract, second = contract;
    first.version = 1;
    first.to_ms = second.from_ms = 1;
    second.version = 2;
    second.to_ms = contract.from_ms = 2;
    book->contracts["standard"] = {first, second, contract};
    book_ = book;
    tenant = std::make_shared<tenancy::Tenant>("acme");
    tenant->set_balance(*money::Amount::parse("100"));
    tenant->set_policy(config::Privacy::dc, {0, 0, 0});
    for (const char* const site : {"a", "b", "c", "d", "e"}) add_site(site);
  }
  ~Bench() override { exchange_.reset(); }

  // ---- the fleet ----
  fleet::Offer& add_site(const std::string& site, config::SiteKind kind = config::SiteKind::datacenter) {
    auto offer = std::make_shared<fleet::Offer>();
    offer->id = site + "/0/m";
    offer->site = site;
    offer->kind = kind;
    offer->contract = "standard";
    offer->model = "m";
    offer->engine_model = "engine-m";
    offer->capacity = 8;
    offer->can.engine = "vllm";
    offer->can.dialect = "vllm";
    offer->link = fleet::Dialled{{site, 9000, false, "", ""}, "/base"};
    offers.push_back(offer);
    return *offer;
  }
  void contract_says(const config::Policies& policies) { book_->contracts.at("standard").back().policies = policies; }
  void keep_sites(std::size_t n) { offers.resize(n); }

  // ---- the request ----
  void ask(std::string body, engines::Operation operation = engines::Operation::chat) {
    exchange::Order order;
    const auto window = [](const void*, std::string_view) -> std::uint32_t { return 2048; };
    const auto refusal = engines::read_request(body, operation, window, nullptr, order.facts);
    REQUIRE_FALSE(refusal);
    order.body = std::move(body);
    order.tenant = tenant;
    order.privacy = privacy;
    order.admit.id = mint_request_id(clock_.wall_ms(), 0, rng_);
    order.admit.wall_ms = clock_.wall_ms();
    order.admit.tenant = tenant->id();
    order.admit.model = "m";
    order.admit.price_version = 1;
    order.admit.operation = engines::name(operation);
    order.admit.hold = ledger::worst_case(price, order.body.size() + 1024, order.facts.tokens_max.value_or(2048));
    order.input_max = order.body.size() + 1024;
    order.output_max = std::uint64_t{order.facts.tokens_max.value_or(2048)} * order.facts.n;
    order.context = 2048;
    tenant->set_hedge_after(hedge_after_ms);
    order.book = book_;
    order.price = &book_->prices.at("m").front();
    auto terms = std::make_shared<exchange::Terms>();
    terms->deadlines = deadlines;
    terms->limits = limits;
    terms->continuations = continuations;
    order.terms = terms;
    order.concluded = [this](const metering::Final& final, money::Amount charge) {
      ++concluded;
      concluded_final = final;
      charged = charge;
    };
    id = order.admit.id.text();
    auto admission = tenant->admit({.now_ns = clock_.mono_ns(), .id = order.admit.id, .tokens = order.output_max, .hold = order.admit.hold});
    REQUIRE(admission.refused == tenancy::Refused::none);
    order.hold = std::move(admission.hold);
    exchange_ = std::make_unique<exchange::Exchange>(*this, std::move(order), *this);
    in_dispatch_ = true;
    exchange_->start();
    in_dispatch_ = false;
    if (over()) exchange_.reset();
  }

  // ---- what the test does ----
  Far& far() { return *calls.back(); }
  void pass(std::int64_t for_ms) {
    for (; for_ms > 0; for_ms -= 50) {
      clock_.now_ns += 50'000'000;
      wheel_.advance(clock_.now_ns);
      turns_.run();
    }
  }
  // Who finds nothing free waits, from now on.
  void use_lines(std::uint32_t places, std::int64_t wait_ms) {
    router_ = std::make_unique<routing::Router>(turns_, config::LineConfig{places, wait_ms});
  }
  void fill(std::uint32_t load) {
    for (const auto& offer : offers) offer->load->in_flight = load;
  }
  void release(metering::Lsn upto = UINT64_MAX) {
    journal_.release(upto);
    releases_.advance();
  }
  void fail_journal() {
    journal_.fail();
    releases_.advance();
  }
  void customer_leaves() {
    if (exchange_ == nullptr) return;
    exchange_->on_gone({FaultKind::client_gone, Side::client, Retry::never, "scripted"});
    left = true;
    exchange_.reset();
  }
  void drain_expired() {
    if (exchange_ != nullptr) exchange_->on_drain_expired();
  }
  void customer_took_all() {
    unsent = 0;
    if (exchange_ != nullptr) exchange_->on_drained();
  }

  // ---- what must hold whenever an exchange is over ----
  void check_closed() {
    CHECK(exchange_ == nullptr);
    const auto view = tenant->view();
    CHECK(view.held.zero());
    CHECK(view.in_flight == 0);
    if (!journal_.failed()) CHECK((*money::Amount::parse("100") - view.balance).text() == charged.text());
    for (const auto& offer : offers) CHECK(offer->load->in_flight.load() == 0);
    for (const auto& call : calls) CHECK(call->events == nullptr);
    CHECK(figures_.open.value() == 0);
    CHECK(held_bytes == 0);
    const auto admits = journal_.all<metering::Admit>().size();
    const auto finals = journal_.all<metering::Final>();
    CHECK(admits <= 1);
    if (!journal_.failed() && !journal_.refuse) CHECK(finals.size() == admits);
    CHECK(finals.size() <= admits);
    if (finals.empty() || journal_.failed()) {  // not on record, so not concluded, or taken back
      CHECK(charged.zero());
      if (concluded > 0) CHECK(concluded_final.outcome == metering::Outcome::failed);
      return;
    }
    CHECK(concluded == 1);
    const auto& final = *finals.front();
    CHECK(final == concluded_final);
    CHECK(final.attempts.size() == final.results.size());
    const auto attempts = journal_.all<metering::Attempt>();
    REQUIRE(attempts.size() == final.attempts.size());
    for (std::size_t i = 0; i < attempts.size(); ++i) {
      CHECK(*attempts[i] == final.attempts[i]);
      CHECK(attempts[i]->n == i + 1);
      CHECK(final.results[i].n == i + 1);
      CHECK(attempts[i]->contract_version == 3);
      for (std::size_t k = 0; k < i; ++k) CHECK(attempts[k]->site != attempts[i]->site);  // never twice
    }
    std::uint64_t delivered = 0;
    for (const auto& result : final.results) delivered += result.delivered;
    CHECK(delivered == final.counts.output + final.counts.reasoning);
    CHECK(charged == ledger::gross(price, final.counts));
    if (!left && status != 0 && !head_sent_before_final) CHECK(final.status == status);
  }
  bool over() const { return last || aborted; }
  bool alive() const { return exchange_ != nullptr; }

  // ---- World ----
  Clock& clock() override { return clock_; }
  TimerWheel& wheel() override { return wheel_; }
  Rng& rng() override { return rng_; }
  routing::Router& router() override { return *router_; }
  HandJournal& journal() override { return journal_; }
  exchange::ReleaseQueue& releases() override { return releases_; }
  exchange::Figures& figures() override { return figures_; }
  std::shared_ptr<const fleet::FleetSnapshot> fleet() override {
    auto snapshot = std::make_shared<fleet::FleetSnapshot>();
    for (const auto& offer : offers) snapshot->by_model["m"].push_back(offer);
    return snapshot;
  }
  std::unique_ptr<http::Call> call(const fleet::Offer& offer, http::CallRequest request, http::CallEvents& events) override {
    auto far = std::make_shared<Far>();
    for (const auto& known : offers)
      if (known.get() == &offer) far->offer = known;
    far->request = std::move(request);
    calls.push_back(far);
    if (lost_tunnels > 0) {
      --lost_tunnels;
      return nullptr;
    }
    far->events = &events;
    return std::make_unique<FarCall>(far);
  }
  bool hold_bytes(std::int64_t change) override {
    if (change > 0 && held_bytes + change > held_bytes_max) return false;
    held_bytes += change;
    CHECK(held_bytes >= 0);
    return true;
  }

  std::shared_ptr<const ledger::Book> book() const { return book_; }

  // ---- the customer's view ----
  int status = 0;
  std::string fields, body_text;
  std::optional<std::uint64_t> length;
  bool last = false, aborted = false, left = false, head_sent_before_final = false;
  int writes = 0;
  std::size_t unsent = 0;
  std::function<void()> at_write;

  // ---- the rest ----
  std::shared_ptr<tenancy::Tenant> tenant;
  ledger::PriceVersion price;
  std::vector<std::shared_ptr<fleet::Offer>> offers;
  std::vector<std::shared_ptr<Far>> calls;
  config::Deadlines deadlines;
  config::Limits limits;
  unsigned continuations = 3;
  std::int64_t hedge_after_ms = 0;
  config::Privacy privacy = config::Privacy::dc;
  telemetry::Registry registry;
  std::int64_t held_bytes = 0, held_bytes_max = INT64_MAX;
  int lost_tunnels = 0, concluded = 0;
  metering::Final concluded_final;
  money::Amount charged;
  std::string id;
  HandClock clock_;

 private:
  // What the design says of every byte that leaves.
  void check_may_write(bool is_last) {
    REQUIRE_FALSE(over());
    REQUIRE_FALSE(left);
    if (journal_.failed() || journal_.refuse) return;
    const auto released = journal_.released();
    CHECK(journal_.last_of<metering::Admit>() > 0);
    CHECK(released >= journal_.last_of<metering::Admit>());
    if (status == 200) CHECK(released >= journal_.last_of<metering::Attempt>());
    const auto final = journal_.last_of<metering::Final>();
    if (is_last) {
      CHECK(final > 0);
      CHECK(released >= final);
    }
  }
  void head(int of, std::string_view with, std::optional<std::uint64_t> of_length) override {
    REQUIRE(status == 0);
    status = of;
    fields = with;
    length = of_length;
    head_sent_before_final = journal_.last_of<metering::Final>() == 0;
  }
  void body(std::span<const std::string_view> pieces, bool is_last) override {
    REQUIRE(status != 0);
    check_may_write(is_last);
    ++writes;
    for (const auto piece : pieces) body_text += piece;
    if (at_write) at_write();
    if (!is_last) return;
    last = true;
    if (length) CHECK(body_text.size() == *length);
    if (!in_dispatch_) exchange_.reset();  // as the session does: from within
  }
  void abort() override {
    REQUIRE_FALSE(over());
    aborted = true;
    if (!in_dispatch_) exchange_.reset();
  }
  std::size_t unsent_bytes() const override { return unsent; }

  TimerWheel wheel_;
  SeededRng rng_;
  struct Turns final : Loop {
    explicit Turns(Bench& of) : of_(of) {}
    void post(std::function<void()> task) override { tasks.push_back(std::move(task)); }
    TimerWheel& wheel() override { return of_.wheel_; }
    Rng& rng() override { return of_.rng_; }
    void run() {
      for (const auto& task : std::exchange(tasks, {})) task();
    }
    Bench& of_;
    std::vector<std::function<void()>> tasks;
  };
  Turns turns_{*this};
  std::unique_ptr<routing::Router> router_ = std::make_unique<routing::Router>();
  HandJournal journal_;
  exchange::ReleaseQueue releases_{journal_};
  exchange::Figures figures_;
  std::shared_ptr<ledger::Book> book_;
  bool in_dispatch_ = false;
  std::unique_ptr<exchange::Exchange> exchange_;
};

inline const metering::Final& final_of(Bench& bench) {
  const auto finals = bench.journal().all<metering::Final>();
  REQUIRE(finals.size() == 1);
  return *finals.front();
}

// ---- what engines say ----

inline std::string event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }
inline std::string chunk(std::string_view delta, std::string_view finish = "null", std::string_view more = "") {
  return event("{\"id\":\"cmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"engine-m\","
               "\"choices\":[{\"index\":0,\"delta\":" + std::string(delta) + ",\"finish_reason\":" + std::string(finish) +
               "}]" + std::string(more) + "}");
}
inline std::string role_chunk() { return chunk("{\"role\":\"assistant\",\"content\":\"\"}"); }
inline std::string text_chunk(std::string_view text = "tok ") { return chunk("{\"content\":\"" + std::string(text) + "\"}"); }
inline std::string finish_chunk(std::string_view reason = "stop") { return chunk("{}", "\"" + std::string(reason) + "\""); }
inline std::string usage_chunk(std::string_view usage) {
  return event("{\"id\":\"cmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"engine-m\","
               "\"choices\":[],\"usage\":" + std::string(usage) + "}");
}
inline std::string usage_of(std::int64_t prompt, std::int64_t completion) {
  return "{\"prompt_tokens\":" + std::to_string(prompt) + ",\"completion_tokens\":" + std::to_string(completion) +
         ",\"total_tokens\":" + std::to_string(prompt + completion) + "}";
}
inline std::string unary_body(std::string_view text, std::string_view more) {
  return "{\"id\":\"cmpl-7\",\"object\":\"chat.completion\",\"created\":1767225600,\"model\":\"engine-m\",\"choices\":"
         "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" + std::string(text) +
         "\"},\"finish_reason\":\"stop\"}]" + std::string(more) + "}";
}
inline std::string ask_text(bool stream, std::string_view more = "") {
  return std::string("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"How do you do?\"}],\"max_tokens\":64") +
         (stream ? ",\"stream\":true" : "") + std::string(more) + "}";
}

}  // namespace trib::test
