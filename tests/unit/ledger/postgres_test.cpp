// What is PostgreSQL's own: rights, one writer, and a line that breaks anywhere. Nothing here on SQLite.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <thread>

#include "gateway/ledger/schema.h"
#include "tests/unit/ledger/engines.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::Postgres;
using test::World;

namespace {

constexpr const char* socket_name = "/.s.PGSQL.5432";

sockaddr_un address_of(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof out.sun_path);
  std::copy(path.begin(), path.end(), out.sun_path);
  return out;
}

// Between a ledger and its server. Cuts a line at the n-th message of its client from now on: before the
// server sees it, or when the server has done what it asks and nobody has heard.
class Line {
 public:
  Line(const std::string& dir, std::string server) : dir_(dir), server_(std::move(server)) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto here = address_of(dir_ + socket_name);
    REQUIRE(bind(listener_, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0);
    REQUIRE(listen(listener_, 8) == 0);
    REQUIRE(pipe(wake_) == 0);
    thread_ = std::thread([this] { run(); });
  }
  ~Line() {
    const char end = 0;
    REQUIRE(write(wake_[1], &end, 1) == 1);
    thread_.join();
    for (const auto& [client, server] : pairs_) close(client), close(server);
    for (const int fd : {listener_, wake_[0], wake_[1]}) close(fd);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void cut_at(int n, bool delivered) {
    delivered_ = delivered;
    left_ = n;
  }
  bool was_cut() const { return left_ == 0; }

 private:
  void run() {
    while (true) {
      std::vector<pollfd> waits{{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const auto& [client, server] : pairs_) {
        waits.push_back({client, POLLIN, 0});
        waits.push_back({server, POLLIN, 0});
      }
      if (poll(waits.data(), waits.size(), -1) < 0 || waits[0].revents != 0) return;
      for (std::size_t i = pairs_.size(); i-- > 0;) {
        const bool ends = (waits[2 + 2 * i].revents != 0 && !pass(pairs_[i].first, pairs_[i].second, true)) ||
                          (waits[3 + 2 * i].revents != 0 && !pass(pairs_[i].second, pairs_[i].first, false));
        if (!ends) continue;
        close(pairs_[i].first);
        close(pairs_[i].second);
        pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (waits[1].revents != 0) take();
    }
  }
  void take() {
    const int client = accept(listener_, nullptr, nullptr), server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto there = address_of(server_ + socket_name);
    if (connect(server, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0) pairs_.emplace_back(client, server);
    else close(client), close(server);
  }
  bool pass(int from, int to, bool of_client) {
    char bytes[65536];
    const ssize_t got = read(from, bytes, sizeof bytes);
    if (got <= 0) return false;
    const bool cut = of_client && left_ > 0 && --left_ == 0;
    if (cut && !delivered_) return false;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t n = send(to, bytes + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += n;
    }
    if (!cut) return true;
    shutdown(to, SHUT_WR);  // its session ends when it has done this
    while (read(to, bytes, sizeof bytes) > 0) {
    }
    return false;
  }

  const std::string dir_, server_;
  int listener_ = -1, wake_[2]{};
  std::vector<std::pair<int, int>> pairs_;
  std::atomic<int> left_{-1};
  std::atomic<bool> delivered_{false};
  std::thread thread_;
};

bool post_until(World& world, metering::Lsn lsn) {
  const std::int64_t deadline_ns = system_clock().mono_ns() + 60'000'000'000;
  while (world.ledger->posted() < lsn && system_clock().mono_ns() < deadline_ns) world.ledger->post_once();
  return world.ledger->posted() >= lsn;
}

void require_like_a_file(World& world) {
  World file(World::on_file);
  file.journal.records = world.journal.records;
  file.open();
  file.post_all();
  test::require_same(world.path(), file.path());
  const Verdict verdict = verify(world.path(), "", 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  REQUIRE(verdict.ok);
  REQUIRE(verdict.head == verify(file.path(), "", 0, &file.journal).head);
}

}  // namespace

TEST_CASE("invariant 12: a line to the store that breaks at any message of a batch loses and doubles nothing", "[invariant]") {
  if (!Postgres::wanted()) return;
  World world;
  Line line(world.dir.file(""), Postgres::instance().socket_dir());
  world.address = "postgresql://tributary@" + test::escaped(world.dir.file("")) + "/" + world.database;
  world.start();
  SeededRng rng(21);
  int cuts = 0;
  for (const bool delivered : {false, true}) {
    for (int n = 1;; ++n) {
      CAPTURE(delivered, n);
      test::append_some(world.journal, rng, 4, n);
      const metering::Lsn last = world.journal.last();
      line.cut_at(n, delivered);
      REQUIRE(post_until(world, last));
      if (!line.was_cut()) break;
      ++cuts;
    }
  }
  line.cut_at(-1, false);
  CHECK(cuts > 10);
  require_like_a_file(world);
}

TEST_CASE("invariant 12: a server that is killed again and again is caught up each time") {
  if (!Postgres::wanted()) return;
  World world;
  Postgres server(world.dir.file("server"), false);
  world.address = server.gateway_url(server.make_database());
  world.start();
  SeededRng rng(22);
  for (int life = 0; life < 3; ++life) {
    test::append_some(world.journal, rng, 30, life);
    world.ledger->post_once();
    server.stop();
    test::append_some(world.journal, rng, 30, 100 + life);  // customers are served on
    CHECK_FALSE(world.ledger->post_once());
    CHECK_FALSE(world.ledger->failure().empty());
    CHECK(world.ledger->topup("acme", "away", money::Amount::pico(5), noon) == Posting::failed);
    server.start();
    REQUIRE(post_until(world, world.journal.last()));
    CHECK(world.ledger->failure().empty());
    CHECK(world.ledger->trial_balance().sum.zero());  // the reader is there again, too
  }
  require_like_a_file(world);
}

TEST_CASE("the gateway's role can neither change nor remove a sealed row, nor take a trigger away") {
  if (!Postgres::wanted()) return;
  World world;
  world.start();
  Connection db;
  std::string why;
  REQUIRE(db.open(world.path(), "", Connection::Mode::write, why));
  for (const char* sql : {"UPDATE usage SET tenant = 'x'", "DELETE FROM leg", "TRUNCATE batch", "UPDATE transfer SET code = 1", "DELETE FROM command",
                          "ALTER TABLE usage DISABLE TRIGGER ALL", "DROP TABLE leg", "DELETE FROM balance", "UPDATE meta SET value = '9'"}) {
    INFO(sql);
    CHECK_FALSE(db.run(sql));
    const bool refused = db.error().find("permission denied") != std::string::npos || db.error().find("must be owner") != std::string::npos;
    CHECK(refused);
  }
  Connection owner;
  REQUIRE(owner.open(world.owner_path(), "", Connection::Mode::write, why));
  CHECK_FALSE(owner.run("TRUNCATE leg"));
  CHECK(owner.error().find("immutable") != std::string::npos);
  CHECK_FALSE(owner.run("SET session_replication_role TO replica; DELETE FROM price_book"));
  CHECK(owner.error().find("immutable") != std::string::npos);
}

TEST_CASE("a gateway is refused a store that is not fit, with the reason and the mend") {
  if (!Postgres::wanted()) return;
  World world;
  world.start();
  const auto open = [&](const std::string& address) {
    LedgerOptions options;
    options.path = address;
    std::string why;
    CHECK_FALSE(Ledger::open(options, system_clock(), world.journal, why));
    return why;
  };
  CHECK(open(world.path()).find("another gateway writes shard 0") != std::string::npos);
  world.ledger.reset();
  CHECK(open(world.owner_path()).find("may change rows of batch") != std::string::npos);
  CHECK(open(Postgres::instance().gateway_url("postgres")).find("tributary store setup") != std::string::npos);
  const std::string away = open("postgresql://tributary:hush@" + test::escaped(world.dir.file("nowhere")) + "/x");
  CHECK(away.find("postgresql://tributary@") == 0);
  CHECK(away.find("hush") == std::string::npos);
  std::string why;
  CHECK_FALSE(set_up(world.owner_path(), "nobody", why));
  CHECK(why.find("createuser nobody") != std::string::npos);
  CHECK_FALSE(set_up(world.owner_path(), "postgres", why));
  CHECK(why.find("may do whatever the owner") != std::string::npos);
  CHECK(set_up(world.owner_path(), "tributary", why));  // again is fine
  world.open();
}

TEST_CASE("a walk over many rows goes on while others are asked, and ends anywhere") {
  World world;
  world.start();
  SeededRng rng(23);
  for (int i = 0; i < 2'500; ++i) world.journal.append(test::random_final(rng, noon + i));
  world.batch_max = 2'500;
  world.post_all();
  std::string why;
  const auto reader = world.ledger->reader(why);
  REQUIRE(reader);
  for (const int end : {1, 999, 1000, 1001, 2000, 100'000}) {
    int seen = 0;
    CHECK(reader->usage(202611, [&](const RequestRow& row) {
      if (seen % 500 == 0) CHECK(reader->request(row.row.id));
      return ++seen < end;
    }));
    CHECK(seen == std::min(end, 2'500));
  }
  CHECK(reader->trial_balance().sum.zero());
}

TEST_CASE("a server that goes away in the middle of a walk is told, not taken for the walk's end") {
  if (!Postgres::wanted()) return;
  World world;
  Postgres server(world.dir.file("server"), false);
  world.address = server.gateway_url(server.make_database());
  world.batch_max = 500;
  world.start();
  SeededRng rng(24);
  for (int i = 0; i < 2'500; ++i) world.journal.append(test::random_final(rng, noon + i));
  world.post_all();
  std::string why;
  const auto reader = world.ledger->reader(why);
  REQUIRE(reader);
  CHECK(reader->error().empty());
  const std::uint64_t before = world.ledger->unread().times;
  int seen = 0;
  RequestId last{};
  CHECK_FALSE(reader->usage(202611, [&](const RequestRow& row) {
    if (++seen == 10) server.stop();
    last = row.row.id;
    return true;
  }));
  CHECK(seen >= 10);
  CHECK(seen < 2'500);
  CHECK_FALSE(reader->error().empty());
  CHECK_FALSE(reader->request(last));
  CHECK_FALSE(world.ledger->request(last));
  CHECK_FALSE(world.ledger->reader(why));
  CHECK(world.ledger->unread().times >= before + 4);
  CHECK(world.ledger->unread().why.find("postgresql://tributary@") == 0);
  server.start();
  const std::int64_t deadline_ns = system_clock().mono_ns() + 60'000'000'000;
  while (!world.ledger->request(last) && system_clock().mono_ns() < deadline_ns) world.ledger->post_once();
  CHECK(world.ledger->trial_balance().sum.zero());
}
