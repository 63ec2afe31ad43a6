// Sockets, listeners and workers over loopback, plain and under TLS. The loop is turned by the test;
// nothing sleeps.
#include "gateway/net/socket.h"

#include <sys/resource.h>

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <thread>

#include "gateway/net/http_pool.h"
#include "gateway/net/listener.h"
#include "gateway/net/pki.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::net;

namespace {

struct Ends {
  std::string cert, key, ca;
};

// A server's certificate for 127.0.0.1 of a CA of its own.
const Ends& ends() {
  static const Ends made = [] {
    Ends out;
    const auto now = system_clock().wall_ms();
    const std::string ca_key = make_key_pem();
    out.ca = *make_authority_pem(ca_key, "test", now - 86'400'000, now + 86'400'000);
    out.key = make_key_pem();
    CertificateTerms terms;
    terms.public_key_der = *public_key_der(out.key);
    terms.name = "end";
    terms.hosts = {"127.0.0.1"};
    terms.for_server = true;
    terms.from_ms = now - 86'400'000;
    terms.until_ms = now + 86'400'000;
    out.cert = issue(out.ca, ca_key, terms)->certificate_pem;
    return out;
  }();
  return made;
}

struct Ear final : StreamHandler {
  void on_open() override {
    ++opens;
    if (at_open) at_open();
  }
  void on_bytes(std::string_view bytes) override {
    got += bytes;
    ++reads;
    if (at_bytes) at_bytes(bytes);
  }
  void on_drained() override {
    ++drains;
    if (at_drained) at_drained();
  }
  void on_end() override {
    ++ends;
    if (at_end) at_end();
  }
  void on_error(const Fault& of) override {
    fault = of;
    ++errors;
    if (at_error) at_error();
  }
  int opens = 0, reads = 0, drains = 0, ends = 0, errors = 0;
  std::string got;
  Fault fault;
  std::function<void()> at_open, at_drained, at_end, at_error;
  std::function<void(std::string_view)> at_bytes;
  std::unique_ptr<Stream> stream;
};

// A dialled stream and the accepted one at its other end.
struct Pair {
  explicit Pair(bool with_tls) : tls(with_tls), transport(worker), listener(worker) {
    if (tls) {
      std::string why;
      TlsServerOptions server;
      server.certificate_pem = trib_ends().cert;
      server.key_pem = trib_ends().key;
      server_tls = TlsContext::server(server, why);
      TlsClientOptions client;
      client.trust_pem = trib_ends().ca;
      transport.set_tls(TlsContext::client(client, why));
      REQUIRE(why.empty());
    }
    REQUIRE(listener.open("127.0.0.1", 0).empty());
    REQUIRE(listener.port() != 0);
    listener.start([this](trib::net::Socket socket) {
      near.stream = adopt_socket(worker, std::move(socket), server_tls);
      near.stream->set_handler(near);
    });
  }
  static const Ends& trib_ends() { return ::ends(); }
  void dial() {
    far.stream = transport.dial({"127.0.0.1", listener.port(), tls, "127.0.0.1", ""}, far);
    until([&] { return far.opens == 1 && near.stream != nullptr && (!tls || near.opens == 1); });
  }
  // Turns the loop until it is so, at most some seconds.
  void until(const std::function<bool()>& so) {
    const auto end = system_clock().mono_ns() + 10'000'000'000;
    while (!so() && system_clock().mono_ns() < end) {
      worker.io().restart();
      worker.io().run_one_for(std::chrono::milliseconds(100));
    }
    REQUIRE(so());
  }
  void settle() {  // everything that is ready
    for (int i = 0; i < 20; ++i) {
      worker.io().restart();
      worker.io().run_for(std::chrono::milliseconds(1));
    }
  }
  const bool tls;
  Worker worker{0, system_clock()};
  SocketTransport transport;
  std::shared_ptr<const TlsContext> server_tls;
  Listener listener;
  Ear far, near;  // dialled, accepted
};

std::string pattern(std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>('!' + i * 7 % 89 + i / 1000 % 3);
  return out;
}

}  // namespace

TEST_CASE("bytes go both ways") {
  Pair pair(GENERATE(false, true));
  pair.dial();
  CHECK(pair.far.stream->peer() == "127.0.0.1:" + std::to_string(pair.listener.port()));
  CHECK(pair.near.stream->peer().starts_with("127.0.0.1:"));
  pair.near.stream->resume();
  pair.far.stream->resume();
  const std::string_view pieces[] = {"ab", "", "cd"};
  pair.far.stream->write(pieces);
  pair.until([&] { return pair.near.got == "abcd"; });
  pair.near.stream->write("answer");
  pair.until([&] { return pair.far.got == "answer"; });
  CHECK(pair.near.errors + pair.far.errors == 0);
}

TEST_CASE("what does not fit is sent later, in order, and its end is told") {
  Pair pair(GENERATE(false, true));
  pair.dial();
  const std::string first = pattern(9'000'000), second = pattern(3'000'000);
  pair.far.stream->write(first);
  pair.far.stream->write(second);
  CHECK(pair.far.stream->unsent_bytes() > 0);
  pair.settle();
  CHECK(pair.far.drains == 0);
  CHECK(pair.near.reads == 0);  // not yet reading
  pair.near.stream->resume();
  pair.until([&] { return pair.near.got.size() == first.size() + second.size(); });
  CHECK(pair.near.got == first + second);
  pair.until([&] { return pair.far.drains == 1; });
  CHECK(pair.far.stream->unsent_bytes() == 0);
}

TEST_CASE("a shutdown follows what waits, and the other way stays open") {
  Pair pair(GENERATE(false, true));
  pair.dial();
  const std::string much = pattern(8'000'000);
  pair.far.stream->write(much);
  pair.far.stream->shutdown();
  pair.near.stream->resume();
  pair.far.stream->resume();
  pair.until([&] { return pair.near.ends == 1; });
  CHECK(pair.near.got == much);
  pair.near.stream->write("late");
  pair.until([&] { return pair.far.got == "late"; });
  CHECK(pair.far.ends == 0);
  pair.near.stream->shutdown();
  pair.until([&] { return pair.far.ends == 1; });
  CHECK(pair.near.errors + pair.far.errors == 0);
}

TEST_CASE("the other end goes") {
  Pair pair(GENERATE(false, true));
  pair.dial();
  pair.far.stream->resume();
  SECTION("with our bytes unread: an error, once") {
    pair.near.stream->resume();
    pair.far.stream->write("x");
    pair.until([&] { return pair.near.reads == 1; });
    pair.near.stream->pause();
    pair.far.stream->write(pattern(1'000'000));
    pair.settle();
    pair.near.stream.reset();
    pair.until([&] { return pair.far.errors == 1; });
    pair.far.stream->write("to nobody");  // harmless
    pair.settle();
    CHECK(pair.far.errors == 1);
    CHECK(pair.far.ends == 0);
  }
  SECTION("with nothing on its way") {
    pair.near.stream.reset();
    // Plain: a FIN. Under TLS a FIN without goodbye is a cut.
    pair.until([&] { return pair.far.errors + pair.far.ends == 1; });
    CHECK(pair.far.errors == (pair.tls ? 1 : 0));
    if (pair.tls) CHECK(pair.far.fault.kind == FaultKind::cut);
  }
}

TEST_CASE("a write to one who has gone is told later, never from within") {
  Pair pair(false);
  pair.dial();
  pair.near.stream.reset();
  pair.settle();
  for (int i = 0; i < 10; ++i) pair.far.stream->write(pattern(100'000));
  CHECK(pair.far.errors == 0);
  pair.until([&] { return pair.far.errors == 1; });
  pair.settle();
  CHECK(pair.far.errors == 1);
}

TEST_CASE("a stream may be destroyed from within any of its upcalls") {
  Pair pair(GENERATE(false, true));
  SECTION("open") {
    bool gone = false;
    pair.far.at_open = [&] {
      pair.far.stream.reset();
      gone = true;
    };
    pair.far.stream = pair.transport.dial({"127.0.0.1", pair.listener.port(), pair.tls, "127.0.0.1", ""}, pair.far);
    pair.far.stream->resume();
    pair.until([&] { return gone; });
  }
  SECTION("bytes") {
    pair.dial();
    pair.near.at_bytes = [&](std::string_view) { pair.near.stream.reset(); };
    pair.near.stream->resume();
    pair.far.stream->write(pattern(100'000));
    pair.until([&] { return pair.near.stream == nullptr; });
    CHECK(pair.near.reads == 1);
  }
  SECTION("drained") {
    pair.dial();
    pair.far.at_drained = [&] { pair.far.stream.reset(); };
    pair.near.stream->resume();
    pair.far.stream->write(pattern(9'000'000));
    pair.until([&] { return pair.far.stream == nullptr; });
  }
  SECTION("end") {
    pair.dial();
    pair.near.at_end = [&] { pair.near.stream.reset(); };
    pair.near.stream->resume();
    pair.far.stream->write("x");
    pair.far.stream->shutdown();
    pair.until([&] { return pair.near.stream == nullptr; });
    CHECK(pair.near.got == "x");
  }
  SECTION("error") {
    pair.dial();
    pair.near.at_error = [&] { pair.near.stream.reset(); };
    pair.near.stream->resume();
    pair.near.stream->write("unread");
    pair.settle();
    pair.far.stream.reset();
    pair.until([&] { return pair.near.stream == nullptr; });
  }
  pair.settle();
}

TEST_CASE("a stream may be destroyed with everything pending") {
  Pair pair(GENERATE(false, true));
  SECTION("dialling") {
    pair.far.stream = pair.transport.dial({"127.0.0.1", pair.listener.port(), pair.tls, "127.0.0.1", ""}, pair.far);
    pair.far.stream.reset();
  }
  SECTION("dialling a name") {
    pair.far.stream = pair.transport.dial({"localhost", pair.listener.port(), pair.tls, "127.0.0.1", ""}, pair.far);
    pair.far.stream.reset();
  }
  SECTION("reading and writing") {
    pair.dial();
    pair.far.stream->resume();
    pair.far.stream->write(pattern(9'000'000));
    pair.far.stream.reset();
  }
  pair.settle();
  CHECK(pair.far.errors + pair.far.ends == 0);
}

TEST_CASE("a resume from within an upcall leaves that upcall's bytes alone") {
  Pair pair(GENERATE(false, true));
  pair.dial();
  int differs = 0;
  pair.near.at_bytes = [&](std::string_view bytes) {
    const std::string before(bytes);
    if (pair.near.reads < 100) pair.far.stream->write(std::string(100, static_cast<char>('a' + pair.near.reads % 26)));
    pair.near.stream->pause();
    pair.near.stream->resume();  // what is there already must not come to lie over these
    pair.near.stream->resume();
    if (before != bytes) ++differs;
  };
  pair.near.stream->resume();
  pair.far.stream->write(std::string(100, 'a'));
  pair.until([&] { return pair.near.got.size() == 10'000; });
  CHECK(differs == 0);
  for (std::size_t i = 0; i < 100; ++i)
    CHECK(pair.near.got.substr(i * 100, 100) == std::string(100, static_cast<char>('a' + i % 26)));
}

TEST_CASE("a paused stream gives out at most what one read brought") {
  Pair pair(GENERATE(false, true));
  pair.dial();
  pair.near.at_bytes = [&](std::string_view) { pair.near.stream->pause(); };
  pair.near.stream->resume();
  pair.far.stream->write(pattern(4'000'000));
  pair.until([&] { return pair.near.reads > 0; });
  pair.settle();
  CHECK(pair.near.got.size() <= 64u << 10);
  const int reads = pair.near.reads;
  pair.settle();
  CHECK(pair.near.reads == reads);
  pair.near.at_bytes = {};
  pair.near.stream->resume();
  pair.until([&] { return pair.near.got.size() == 4'000'000; });
  CHECK(pair.near.got == pattern(4'000'000));
}

TEST_CASE("what is written before the connection stands goes out when it does") {
  Pair pair(GENERATE(false, true));
  pair.far.stream = pair.transport.dial({"127.0.0.1", pair.listener.port(), pair.tls, "127.0.0.1", ""}, pair.far);
  pair.far.stream->write("early");
  const bool finished = GENERATE(false, true);
  if (finished) pair.far.stream->shutdown();
  INFO(pair.tls << finished);
  pair.until([&] { return pair.near.stream != nullptr; });
  pair.near.stream->resume();
  pair.until([&] { return pair.near.got == "early"; });
  if (finished) pair.until([&] { return pair.near.ends == 1; });
}

TEST_CASE("nobody listens, or nobody has that name") {
  Pair pair(false);
  const auto port = pair.listener.port();
  pair.listener.close();
  pair.settle();
  Ear ear;
  SECTION("an address") {
    ear.stream = pair.transport.dial({"127.0.0.1", port, false, "", ""}, ear);
    CHECK(ear.errors == 0);  // never from within
    pair.until([&] { return ear.errors == 1; });
    CHECK(ear.fault.kind == FaultKind::connect_refused);
  }
  SECTION("a name that stands for it") {
    ear.stream = pair.transport.dial({"localhost", port, false, "", ""}, ear);
    pair.until([&] { return ear.errors == 1; });
    CHECK(ear.fault.kind == FaultKind::connect_refused);
  }
  SECTION("a trust file that is not there") {
    ear.stream = pair.transport.dial({"127.0.0.1", port, true, "", "no/such/file.pem"}, ear);
    CHECK(ear.errors == 0);
    pair.until([&] { return ear.errors == 1; });
    CHECK(ear.fault.kind == FaultKind::connect_failed);
    CHECK(ear.fault.detail.find("no/such/file.pem") != std::string::npos);
  }
  CHECK(ear.opens == 0);
  CHECK(ear.fault.side != Side::client);
}

TEST_CASE("a name is resolved and dialled") {
  Pair pair(false);
  pair.far.stream = pair.transport.dial({"localhost", pair.listener.port(), false, "", ""}, pair.far);
  pair.until([&] { return pair.far.opens == 1 && pair.near.stream != nullptr; });
}

TEST_CASE("TLS with one who does not speak it") {
  Pair pair(true);
  SECTION("the server hears plain text") {
    SocketTransport plain(pair.worker);
    pair.far.stream = plain.dial({"127.0.0.1", pair.listener.port(), false, "", ""}, pair.far);
    pair.until([&] { return pair.far.opens == 1; });
    pair.far.stream->resume();
    pair.far.stream->write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    pair.until([&] { return pair.near.errors == 1; });
    CHECK(pair.near.opens == 0);
    CHECK(pair.near.fault.kind == FaultKind::connect_failed);
  }
  SECTION("the client does not know the server's CA") {
    std::string why;
    TlsClientOptions options;
    const auto key = make_key_pem();
    const auto now = system_clock().wall_ms();
    options.trust_pem = *make_authority_pem(key, "another", now - 1000, now + 86'400'000);
    pair.transport.set_tls(TlsContext::client(options, why));
    pair.far.stream = pair.transport.dial({"127.0.0.1", pair.listener.port(), true, "127.0.0.1", ""}, pair.far);
    pair.until([&] { return pair.far.errors == 1; });
    CHECK(pair.far.opens == 0);
    CHECK(pair.far.fault.kind == FaultKind::connect_failed);
  }
}

TEST_CASE("a listener says why it cannot listen, and two share a port") {
  Worker worker(0, system_clock());
  Listener first(worker), second(worker), third(worker);
  REQUIRE(first.open("127.0.0.1", 0).empty());
  CHECK(second.open("127.0.0.1", first.port()).empty());
  CHECK(second.port() == first.port());
  CHECK_FALSE(third.open("192.0.2.1", 0).empty());
  CHECK_FALSE(third.open("no.such.name.invalid", 0).empty());
  CHECK(third.open("localhost", 0).empty());
}

TEST_CASE("a listener without descriptors waits instead of spinning") {
  Pair pair(false);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  Ear ear;
  ear.stream = pair.transport.dial({"127.0.0.1", pair.listener.port(), false, "", ""}, ear);
  rlimit none = old;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  pair.worker.io().restart();
  const auto turns = pair.worker.io().run_for(std::chrono::milliseconds(200));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
  CHECK(pair.near.stream == nullptr);
  CHECK(turns < 100);
  pair.until([&] { return pair.near.stream != nullptr; });  // and takes it once there are
}

TEST_CASE("a worker runs what any thread posts, in each thread's order") {
  Worker worker(0, system_clock());
  constexpr int threads = 4, each = 2000;
  std::vector<int> last(threads, -1);
  int ran = 0, disorder = 0;
  const auto home = std::make_shared<std::atomic<std::thread::id>>();
  bool elsewhere = false;
  std::thread loop([&] {
    home->store(std::this_thread::get_id());
    worker.run();
  });
  std::vector<std::thread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        worker.post([&, t, i] {
          elsewhere = elsewhere || std::this_thread::get_id() != home->load();
          if (last[static_cast<std::size_t>(t)] != i - 1) ++disorder;
          last[static_cast<std::size_t>(t)] = i;
          if (++ran == threads * each) worker.post([&] { worker.stop(); });  // from within, too
        });
      }
    });
  }
  for (auto& poster : posters) poster.join();
  loop.join();
  CHECK(ran == threads * each);
  CHECK(disorder == 0);
  CHECK_FALSE(elsewhere);
}

TEST_CASE("a worker's wheel turns by itself") {
  Worker worker(0, system_clock());
  struct Owner {
    Worker& worker;
    int fired = 0;
    void fire() {
      if (++fired == 2) return worker.stop();
      worker.wheel().arm(timer, worker.wheel().now_ns() + 1);
    }
    MemberTimer<Owner, &Owner::fire> timer{*this};
  } owner{worker};
  worker.wheel().arm(owner.timer, worker.wheel().now_ns() + 1);
  worker.run();
  CHECK(owner.fired == 2);
}

TEST_CASE("the pool and a session's bytes over real sockets") {
  Pair pair(GENERATE(false, true));
  HttpPool pool(pair.transport, pair.worker.wheel(), {});
  struct Events final : http::CallEvents {
    void on_head(const http::ResponseHead& head) override { status = head.status; }
    void on_body(std::string_view bytes) override { body += bytes; }
    void on_end() override { ended = true; }
    void on_fault(const Fault& of) override { fault = of; }
    int status = 0;
    bool ended = false;
    std::string body;
    Fault fault;
  };
  pair.near.at_bytes = [&](std::string_view) {
    if (!pair.near.got.ends_with("}")) return;
    pair.near.got.clear();
    pair.near.stream->write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  };
  for (int i = 0; i < 3; ++i) {
    Events events;
    http::CallRequest request;
    request.path = "/";
    request.body = "{" + std::string(200'000, ' ') + "}";
    const auto call = pool.call({"127.0.0.1", pair.listener.port(), pair.tls, "127.0.0.1", ""}, request, events);
    pair.until([&] {
      if (pair.near.stream != nullptr) pair.near.stream->resume();
      return events.ended;
    });
    CHECK(events.body == "abc");
    CHECK_FALSE(events.fault);
  }
  CHECK(pool.figures().dialled == 1);
  CHECK(pool.figures().reused == 2);
}
