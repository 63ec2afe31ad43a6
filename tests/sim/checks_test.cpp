// The world's own checkers: what they are there to find, they find. A gateway whose journal is tampered
// with, a server that answers what no gateway may answer, a connection that is used after a surplus.
#include <sqlite3.h>

#include "tests/catch.h"
#include "tests/sim/world.h"

using namespace trib;
using namespace trib::sim;

namespace {

Failure run(Sabotage sabotage, std::uint64_t seed = 3) {
  WorldOptions options;
  options.seed = seed;
  options.calm = true;
  options.sabotage = sabotage;
  World world(options);
  const bool ok = world.run();
  CHECK(ok == (sabotage == Sabotage::none));
  return world.failure();
}

config::ConfigSnapshot small_config() {
  config::ConfigSnapshot out;
  config::ModelConfig model;
  model.id = "m";
  model.prices.resize(1);
  model.prices[0].input = model.prices[0].output = money::Price::pico_per_unit(1);
  out.models = {model};
  config::TenantConfig tenant;
  tenant.id = "t0";
  out.tenants = {tenant};
  return out;
}

// A customer before a server that says what it is told to say.
struct Booth {
  Timeline timeline;
  SeededRng rng{5};
  std::vector<std::string> found;
  Net net{timeline, rng, [this](std::string what) { found.push_back("connection: " + what); }};
  config::ConfigSnapshot config = small_config();
  Oracle oracle{config, timeline, [this](const std::string& rule, const std::string& what) { found.push_back(rule + ": " + what); }};
  CustomerFigures figures;
  std::shared_ptr<Life> life = std::make_shared<Life>(timeline);

  ~Booth() { timeline.clear(); }

  // What the checkers say of the first streamed answer that a customer gets; "%" stands for its mark.
  void judge(const std::string& events, bool ends, bool cuts) {
    for (std::uint64_t number = 0; number < 60; ++number) {
      CustomerTerms terms;
      terms.number = number;
      terms.tenant = "t0";
      terms.key = "k";
      terms.door = "door:1";
      terms.requests = 1;
      terms.tokens_max = 2;
      Customer customer(timeline, net, rng, oracle, terms, figures,
                        [this](const std::string& rule, const std::string& what) { found.push_back(rule + ": " + what); });
      struct Server final : StreamHandler {
        void on_bytes(std::string_view bytes) override {
          in += bytes;
          if (answered || in.find("\"stream\":true") == std::string::npos || in.find("include_usage") != std::string::npos || in.back() != '}') return;
          if (in.find("say 1 ") == std::string::npos || in.find("Idempotency") != std::string::npos) return;
          answered = true;
          const auto at = in.find("say 1 ") + 6;
          const std::string mark = in.substr(at, in.find(' ', at) - at);
          std::string body = events;
          for (auto p = body.find('%'); p != std::string::npos; p = body.find('%')) body.replace(p, 1, mark);
          char size[20];
          std::snprintf(size, sizeof size, "%zx\r\n", body.size());
          stream->write("HTTP/1.1 200 OK\r\nx-request-id: 01a1ae8f7be4000035105c5d19482a7b\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(size) + body + "\r\n" +
                        (ends ? "0\r\n\r\n" : ""));
          if (cuts) stream->shutdown();
        }
        void on_end() override {}
        void on_error(const Fault&) override {}
        std::unique_ptr<PipeEnd> stream;
        std::string in, events;
        bool answered = false, ends = true, cuts = false;
      } server;
      server.events = events;
      server.ends = ends;
      server.cuts = cuts;
      net.listen("door:1", life, Weather{}, [&](std::unique_ptr<PipeEnd> stream, const std::string&) {
        server.stream = std::move(stream);
        server.stream->set_handler(server);
        server.stream->resume();
      });
      found.clear();
      customer.start();
      for (int i = 0; i < 3000 && !customer.done(); ++i) timeline.step();
      if (server.answered) return;
    }
    found.push_back("nobody asked");
  }
};

std::string event(const std::string& text, const std::string& finish = "null") {
  return "data: {\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + text + "\"},\"finish_reason\":" + finish + "}]}\n\n";
}

bool starts(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

}  // namespace

TEST_CASE("a seed is one run, to the byte") {
  const auto digest = [] {
    WorldOptions options;
    options.seed = 11;
    World world(options);
    CHECK(world.run());
    return std::pair(world.figures().digest, world.figures().steps);
  };
  CHECK(digest() == digest());
}

TEST_CASE("an untouched world is sound, a tampered one is not") {
  CHECK(run(Sabotage::none).rule == "");
  CHECK(run(Sabotage::bill_more).rule == "billed");
  CHECK(run(Sabotage::second_final).rule == "one end");
  const auto early = run(Sabotage::early_release).rule;
  CHECK((early == "first byte" || early == "last byte"));
  const auto lost = run(Sabotage::lose_final).rule;
  CHECK((lost == "holds" || lost == "last byte" || lost == "balance"));
}

TEST_CASE("what a customer may not receive is found") {
  const std::string finish = event("", "\"stop\"") + "data: [DONE]\n\n";
  // The first byte comes before an ADMIT in all of these: no gateway stands behind the booth.
  const auto judged = [](const std::string& events, bool ends = true, bool cuts = false) {
    Booth booth;
    booth.judge(events, ends, cuts);
    std::vector<std::string> rest;
    for (const auto& one : booth.found)
      if (!starts(one, "first byte")) rest.push_back(one);
    return rest.empty() ? std::string() : rest.front();
  };
  CHECK(starts(judged(event("%.0 ") + event("c99r9.1 ") + finish), "order"));  // another's token
  CHECK(starts(judged(event("%.0 ") + event("%.0 ") + finish), "order"));      // a doubled token
  CHECK(starts(judged(event("%.1 ") + finish), "order"));                      // a lost one
  CHECK(starts(judged(finish), "order"));                                      // whole, without text
  CHECK(starts(judged(event("%.0 ") + "data: [DONE]\n\n"), "dressed up"));     // no finish
  CHECK(starts(judged(event("%.0 ")), "dressed up"));                          // a clean end on a cut
  CHECK(starts(judged(event("%.0 ") + finish + event("%.1 ")), "order"));      // after the last
  CHECK(starts(judged(event("%.0 "), false, true), "cut"));
  CHECK(starts(judged("data: {\"id\":\"x\",\"model\":\"engine-model\",\"choices\":[]}\n\n"), "isolation"));
  CHECK(starts(judged(event("%.0 ") + finish), "last byte"));  // all well, but no FINAL
}

TEST_CASE("a connection that brought more than its answer is not used again") {
  Timeline timeline;
  SeededRng rng(1);
  std::string found;
  Net net(timeline, rng, [&](std::string what) { found = std::move(what); });
  struct End final : StreamHandler {
    void on_bytes(std::string_view bytes) override { in += bytes; }
    void on_end() override {}
    void on_error(const Fault&) override {}
    std::string in;
    std::unique_ptr<PipeEnd> stream;
  } here, there;
  auto life = std::make_shared<Life>(timeline);
  net.listen("a:1", life, Weather{}, [&](std::unique_ptr<PipeEnd> stream, const std::string&) { there.stream = std::move(stream); });
  here.stream = net.dial("b", life, "a:1", here);
  here.stream->resume();
  while (there.stream == nullptr) timeline.step();
  there.stream->set_handler(there);
  there.stream->resume();
  there.stream->write("answer");
  there.stream->surplus_follows();
  there.stream->write("more");
  while (here.in != "answermore") timeline.step();
  CHECK(found.empty());
  here.stream->write("again");
  CHECK_FALSE(found.empty());
  here.stream.reset();
  there.stream.reset();
  timeline.clear();
}

TEST_CASE("invariant 19: among crashes, time-outs and lost connections the holds are those of the open requests, and none is left", "[invariant]") {
  for (std::uint64_t seed = 11; seed <= 25; ++seed) {  // the oracle looks after every step
    WorldOptions options;
    options.seed = seed;
    World world(options);
    INFO("seed " << seed);
    const bool ok = world.run();
    INFO(world.failure().rule << ": " << world.failure().what);
    CHECK(ok);
  }
}

TEST_CASE("SQLite keeps on the simulated disk what it has committed") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Timeline timeline;
    SeededRng rng(seed);
    test::MemDisk disk(seed);
    test::DiskVfs vfs("checks", disk, timeline, seed);
    std::int64_t promised = 0;
    for (int life = 0; life < 4; ++life) {
      if (life > 0) disk.cut_power_at(disk.operations() + 1 + rng.below(120));
      sqlite3* db = nullptr;
      const auto run = [&](const char* sql) { return sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK; };
      bool fine = sqlite3_open_v2("d.db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "checks") == SQLITE_OK;
      fine = fine && run("PRAGMA journal_mode = WAL") && run("PRAGMA synchronous = FULL") && run("PRAGMA wal_autocheckpoint = 4") &&
             run("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, filler BLOB)");
      std::int64_t count = -1;
      const auto counted = [](void* out, int, char** values, char**) {
        *static_cast<std::int64_t*>(out) = std::stoll(values[0]);
        return 0;
      };
      if (fine) fine = sqlite3_exec(db, "SELECT count(*) FROM t", counted, &count, nullptr) == SQLITE_OK;
      if (fine) CHECK(count >= promised);
      if (fine) promised = count;
      for (int i = 0; fine && i < 30; ++i) {
        fine = run("INSERT INTO t(filler) VALUES(zeroblob(700))");
        if (fine) ++promised;
      }
      if (life == 0) CHECK(fine);
      disk.crash();
      sqlite3_close(db);
    }
  }
}
