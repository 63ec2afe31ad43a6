// How long requests take on unequal machines, by policy: the product's own Router and Line over a
// simulated fleet, against round-robin, random and least-loaded.
//
//   fleet_sim [offers, default 10,100,1000,10000] [load percent, default 60] [seed, default 1]
//
// Machines: 2 to 32 slots, single-stream speed spread evenly over 1:20, a batch slows every stream of its
// machine (each machine by a factor of its own, which the router does not know). Each is taken away once
// an hour on average, with all that runs on it, and is back 15 minutes later: what ran begins anew
// elsewhere. Answers are lognormal, median 300 tokens, one in twenty above 4,000; arrivals are Poisson at
// the given share of what the fleet can do. Who finds nothing free waits in the product's line. Finish
// time is from arrival to the last token, over the last two thirds of an hour (of 15 minutes for more than
// 1,000 machines). Prints one row of a Markdown table a fleet and policy.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/routing/routing.h"

using namespace trib;

namespace {

constexpr double second = 1e9;

double uniform(Rng& rng) { return (static_cast<double>(rng.next() >> 11) + 0.5) * 0x1.0p-53; }
double exponential(Rng& rng, double mean) { return -mean * std::log(uniform(rng)); }
double normal(Rng& rng) { return std::sqrt(-2 * std::log(uniform(rng))) * std::cos(6.283185307179586 * uniform(rng)); }
double cpu_ns() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e9 + static_cast<double>(used.tv_nsec);
}

// What looking at that clock costs by itself.
double clock_ns() {
  const double before = cpu_ns();
  for (int i = 0; i < 1000; ++i) cpu_ns();
  return (cpu_ns() - before) / 1001;
}

enum class Way { balanced, cheapest, fastest, least_loaded, random, round_robin };
constexpr std::pair<Way, const char*> ways[] = {{Way::balanced, "balanced"},         {Way::fastest, "fastest"},
                                                {Way::cheapest, "cheapest"},         {Way::least_loaded, "least-loaded"},
                                                {Way::random, "random"},             {Way::round_robin, "round-robin"}};

struct Request {
  double arrived = 0, begun = 0, first = 0;
  double prompt = 0, tokens = 0;
  std::size_t machine = 0;
  std::uint64_t tenant = 0;
  bool running = false;
};

// Processor sharing: one virtual clock a machine, in tokens of a single stream.
struct Machine {
  std::shared_ptr<fleet::Offer> offer;
  double token_ns = 0;   // one stream alone
  double slowdown = 0;   // with every slot taken: 1 + this
  std::uint32_t supplier_ppm = 0;
  bool here = true;
  double clock = 0, at = 0;  // virtual, and real when it was brought up to date
  std::uint64_t generation = 0;
  std::vector<std::pair<double, std::size_t>> due;  // virtual end or first token, request; a heap, least first

  std::uint32_t running() const { return offer->load->in_flight.load(); }
  double ns_a_token(double run) const { return token_ns * (1 + slowdown * (run - 1) / offer->capacity); }
  void advance(double now) {
    if (running() > 0) clock += (now - at) / ns_a_token(running());
    at = now;
  }
};

struct Event {
  double at = 0;
  enum class Kind { arrival, machine, leaves, comes } kind = Kind::arrival;
  std::size_t who = 0;
  std::uint64_t generation = 0;
  bool operator<(const Event& other) const { return at > other.at; }
};

class Sim {
 public:
  Sim(std::size_t machines, double load, std::uint64_t seed, Way way)
      : world_(seed), rng_(seed + 1), way_(way), end_((machines > 1000 ? 900 : 3600) * second) {
    double tokens_a_ns = 0;
    auto& offers = fleet_.by_model[model_];
    for (std::size_t i = 0; i < machines; ++i) {
      Machine machine;
      machine.offer = std::make_shared<fleet::Offer>();
      machine.offer->id = machine.offer->site = "s" + std::to_string(i);
      machine.offer->model = model_;
      machine.offer->capacity = 2u << world_.below(5);
      machine.token_ns = 10e6 * std::pow(20.0, uniform(world_));
      machine.slowdown = 0.5 + 2 * uniform(world_);
      machine.supplier_ppm = static_cast<std::uint32_t>(600'000 + world_.below(150'001));
      by_offer_[machine.offer.get()] = i;
      offers.push_back(machine.offer);
      tokens_a_ns += machine.offer->capacity / machine.ns_a_token(machine.offer->capacity);
      machines_.push_back(std::move(machine));
      events_.push({exponential(world_, 3600 * second), Event::Kind::leaves, i});
    }
    fleet_.offers = machines;
    fleet_.freeze = std::make_shared<fleet::BlameFreeze>();
    // A machine is here four fifths of the time. The mean of the lognormal, cut at 8,192, is near 890.
    gap_ = (890 + 30) / (tokens_a_ns * 0.8 * load);
    rules_.policy = way == Way::cheapest ? config::RoutingPolicy::cheapest
                    : way == Way::fastest ? config::RoutingPolicy::fastest : config::RoutingPolicy::balanced;
    events_.push({exponential(world_, gap_), Event::Kind::arrival});
  }

  void run() {
    while (!events_.empty() && events_.top().at < end_) {
      const auto event = events_.top();
      events_.pop();
      now_ = event.at;
      switch (event.kind) {
        case Event::Kind::arrival: arrive(); break;
        case Event::Kind::machine: work(event.who, event.generation); break;
        case Event::Kind::leaves: leave(event.who); break;
        case Event::Kind::comes: come(event.who); break;
      }
    }
  }

  void print(std::size_t machines, const char* name) {
    // What still runs or waits has taken at least so long: to leave it out would flatter who starves it.
    for (const auto& [id, request] : open_)
      if (request.arrived > end_ / 3) took_.push_back(now_ - request.arrived);
    std::sort(took_.begin(), took_.end());
    const auto at = [&](double q) { return took_[static_cast<std::size_t>(q * static_cast<double>(took_.size() - 1))] / second; };
    std::printf("| %zu | %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f |\n", machines, name, at(0.5), at(0.9), at(0.99),
                100.0 * static_cast<double>(waited_) / static_cast<double>(arrived_), 100.0 * paid_ / tokens_,
                (choice_ns_ / static_cast<double>(choices_) - clock_ns()) / 1000);
    std::fflush(stdout);
  }

 private:
  std::int64_t now() const { return static_cast<std::int64_t>(now_); }

  void arrive() {
    Request request;
    request.arrived = now_;
    request.prompt = std::min(8192.0, 400 * std::exp(normal(world_)));
    request.tokens = std::clamp(300 * std::exp(1.575 * normal(world_)), 1.0, 8192.0);
    request.tenant = world_.below(20);
    const auto id = next_++;
    ++arrived_;
    open_.emplace(id, request);
    if (!line_.empty() || !start(id)) wait(id);
    events_.push({now_ + exponential(world_, gap_), Event::Kind::arrival});
  }

  void wait(std::size_t id) {
    const auto place = line_.enter({std::to_string(open_.at(id).tenant), routing::Priority::normal, 900, INT64_MAX / 2}, now());
    if (place.ticket == 0) std::abort();  // the line of a simulation has room for all
    waiting_[place.ticket] = id;
    ++waited_;
  }

  fleet::OfferPtr pick() {
    const auto& offers = fleet_.by_model.at(model_);
    const auto free = [](const fleet::OfferPtr& offer) { return offer->load->in_flight.load() < offer->capacity; };
    switch (way_) {
      case Way::round_robin:
        for (std::size_t i = 0; i < offers.size(); ++i)
          if (const auto& offer = offers[turn_++ % offers.size()]; free(offer)) return offer;
        return nullptr;
      case Way::random:
        for (int i = 0; i < 64; ++i)
          if (const auto& offer = offers[rng_.below(offers.size())]; free(offer)) return offer;
        for (const auto& offer : offers)
          if (free(offer)) return offer;
        return nullptr;
      case Way::least_loaded: {
        const fleet::OfferPtr* best = nullptr;
        double least = 1;
        const auto from = rng_.below(offers.size());  // ties by chance
        for (std::size_t i = 0; i < offers.size(); ++i) {
          const auto& offer = offers[(from + i) % offers.size()];
          const double load = static_cast<double>(offer->load->in_flight.load()) / offer->capacity;
          if (load < least) least = load, best = &offer;
        }
        return best == nullptr ? nullptr : *best;
      }
      default: {
        routing::Wish wish{model_};
        wish.privacy = config::Privacy::any;
        wish.rules = &rules_;
        wish.supplier_ppm = [](const void* who, const fleet::Offer& offer) {
          const auto& sim = *static_cast<const Sim*>(who);
          return sim.machines_[sim.by_offer_.at(&offer)].supplier_ppm;
        };
        wish.who = this;
        return router_.choose(fleet_, wish, rng_, now()).offer;
      }
    }
  }

  bool start(std::size_t id) {
    if (fleet_.by_model.at(model_).empty()) return false;
    const double before = cpu_ns();
    const auto offer = pick();
    choice_ns_ += cpu_ns() - before;
    ++choices_;
    if (offer == nullptr) return false;
    auto& request = open_.at(id);
    request.machine = by_offer_.at(offer.get());
    request.begun = now_;
    request.first = 0;
    request.running = true;
    auto& machine = machines_[request.machine];
    machine.advance(now_);
    offer->load->in_flight.fetch_add(1);
    due(machine, machine.clock + request.prompt / 20, id);  // a prompt is read twenty times as fast
    schedule(request.machine);
    return true;
  }

  static void due(Machine& machine, double at, std::size_t id) {
    machine.due.emplace_back(at, id);
    std::push_heap(machine.due.begin(), machine.due.end(), std::greater<>());
  }

  void schedule(std::size_t who) {
    auto& machine = machines_[who];
    ++machine.generation;
    if (machine.due.empty()) return;
    const double left = std::max(0.0, machine.due.front().first - machine.clock);
    events_.push({now_ + left * machine.ns_a_token(machine.running()), Event::Kind::machine, who, machine.generation});
  }

  void work(std::size_t who, std::uint64_t generation) {
    auto& machine = machines_[who];
    if (generation != machine.generation) return;
    machine.advance(now_);
    const auto id = machine.due.front().second;
    std::pop_heap(machine.due.begin(), machine.due.end(), std::greater<>());
    machine.due.pop_back();
    auto& request = open_.at(id);
    if (request.first == 0) {
      request.first = now_;
      due(machine, machine.clock + request.tokens, id);
      schedule(who);
      return;
    }
    machine.offer->load->in_flight.fetch_sub(1);
    tell(request, FaultKind::none, request.tokens);
    if (request.arrived > end_ / 3) {
      took_.push_back(now_ - request.arrived);
      tokens_ += request.tokens;
      paid_ += request.tokens * machine.supplier_ppm / 1e6;
    }
    open_.erase(id);
    schedule(who);
    pump();
  }

  void tell(const Request& request, FaultKind fault, double tokens) {
    if (way_ == Way::round_robin || way_ == Way::random || way_ == Way::least_loaded) return;
    const fleet::OfferPtr offer = machines_[request.machine].offer;
    routing::Report report{offer, fault, fault == FaultKind::none ? Side::none : Side::seat, 0, {}};
    if (fault == FaultKind::none)
      report.sample = {static_cast<std::int64_t>(request.first - request.begun), static_cast<std::int64_t>(now_ - request.first),
                       static_cast<std::uint64_t>(tokens), true};
    router_.report(fleet_, report, rng_, now());
  }

  void pump() {
    if (line_.empty()) return;
    line_.pump(now(), [&](routing::Line::Ticket ticket) {
      const auto id = waiting_.at(ticket);
      if (!start(id)) return false;
      waiting_.erase(ticket);
      return true;
    });
  }

  void leave(std::size_t who) {
    auto& machine = machines_[who];
    machine.advance(now_);
    machine.here = false;
    ++machine.generation;
    auto& offers = fleet_.by_model.at(model_);
    std::erase(offers, fleet::OfferPtr(machine.offer));
    ++fleet_.revision;
    auto lost = std::exchange(machine.due, {});
    std::sort(lost.begin(), lost.end());
    machine.offer->load->in_flight = 0;
    for (const auto& [at, id] : lost) tell(open_.at(id), FaultKind::reclaimed, 0);
    for (const auto& [at, id] : lost)
      if (!line_.empty() || !start(id)) wait(id);
    events_.push({now_ + exponential(world_, 900 * second), Event::Kind::comes, who});
  }

  void come(std::size_t who) {
    auto& machine = machines_[who];
    machine.here = true;
    machine.at = now_;
    fleet_.by_model.at(model_).push_back(machine.offer);
    ++fleet_.revision;
    events_.push({now_ + exponential(world_, 3600 * second), Event::Kind::leaves, who});
    pump();
  }

  const std::string model_ = "m";
  SeededRng world_;  // the same for every policy, as far as their worlds are the same
  SeededRng rng_;
  Way way_;
  double end_, now_ = 0, gap_ = 0;
  std::vector<Machine> machines_;
  std::unordered_map<const fleet::Offer*, std::size_t> by_offer_;
  fleet::FleetSnapshot fleet_;
  config::ModelRouting rules_;
  routing::Router router_;
  routing::Line line_{{1u << 30, INT64_MAX / 4}};
  std::unordered_map<routing::Line::Ticket, std::size_t> waiting_;
  std::priority_queue<Event> events_;
  std::unordered_map<std::size_t, Request> open_;
  std::size_t next_ = 0, turn_ = 0, arrived_ = 0, waited_ = 0, choices_ = 0;
  double choice_ns_ = 0, tokens_ = 0, paid_ = 0;
  std::vector<double> took_;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::size_t> sizes;
  for (const char* at = argc > 1 ? argv[1] : "10,100,1000,10000"; *at != '\0';) {
    char* end = nullptr;
    const auto size = std::strtoull(at, &end, 10);
    if (end == at || size == 0 || size > 1'000'000) {
      std::fprintf(stderr, "fleet_sim: the first argument is a list of fleet sizes, such as 10,100\n");
      return 2;
    }
    sizes.push_back(size);
    at = *end == ',' ? end + 1 : end;
  }
  const double load = (argc > 2 ? std::atof(argv[2]) : 60) / 100;
  const auto seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  if (!(load > 0 && load < 1)) {
    std::fprintf(stderr, "fleet_sim: the load is a percentage below 100\n");
    return 2;
  }
  std::puts("| offers | policy | p50 s | p90 s | p99 s | waited % | supplier % | choice us |");
  std::puts("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
  for (const auto size : sizes)
    for (const auto& [way, name] : ways) {
      Sim sim(size, load, seed, way);
      sim.run();
      sim.print(size, name);
    }
  return 0;
}
