// The agent's program against a gateway over real sockets: enrolment, the tunnel, a proxy, coming
// back.
#include <signal.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <future>
#include <thread>

#include "backends/agent/agent.h"
#include "gateway/telemetry/telemetry.h"
#include "tests/catch.h"
#include "tests/unit/agent/mini_gateway.h"

using namespace trib;
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/tributary-agent-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

// An engine of HTTP/1.1 that answers models and completions, on the gateway's worker.
class Engine final : StreamHandler {
 public:
  explicit Engine(net::Worker& worker) : worker_(worker) {
    REQUIRE(listener_.open("127.0.0.1", 0).empty());
    listener_.start([this](trib::net::Socket socket) {
      streams_.push_back(
          std::make_unique<One>(net::adopt_socket(worker_, std::move(socket), nullptr)));
    });
  }
  std::uint16_t port() const { return listener_.port(); }

 private:
  struct One final : StreamHandler {
    explicit One(std::unique_ptr<Stream> s) : stream(std::move(s)) {
      stream->set_handler(*this);
      stream->resume();
    }
    void on_bytes(std::string_view bytes) override {
      in.append(bytes);
      for (;;) {
        http::RequestHead head;
        http::HeadRefusal why;
        std::size_t used = 0;
        reader.reset();
        if (reader.request(in, head, used, why) != http::HeadStatus::ok ||
            in.size() < used + head.length)
          return;
        std::string body = "{}";
        int status = 404;
        if (head.target == "/v1/models") {
          status = 200;
          body = R"({"data":[{"id":"tiny","owned_by":"llamacpp"}]})";
        } else if (head.target == "/v1/completions") {
          status = 200;
          body = "echo:" + in.substr(used, head.length);
        }
        in.erase(0, used + head.length);
        stream->write("HTTP/1.1 " + std::to_string(status) +
                      " X\r\nContent-Type: application/json\r\nContent-Length: " +
                      std::to_string(body.size()) + "\r\n\r\n" + body);
      }
    }
    void on_end() override { stream->shutdown(); }
    void on_error(const Fault&) override {}
    std::unique_ptr<Stream> stream;
    std::string in;
    http::HeadReader reader;
  };
  void on_bytes(std::string_view) override {}
  void on_end() override {}
  void on_error(const Fault&) override {}
  net::Worker& worker_;
  net::Listener listener_{worker_};
  std::vector<std::unique_ptr<One>> streams_;
};

// An HTTP proxy of one thread a connection that takes CONNECT.
class Proxy {
 public:
  Proxy() : thread_([this] { serve(); }) {}
  ~Proxy() {
    stopping_ = true;
    tcp::socket poke(io_);
    boost::system::error_code ignored;
    poke.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
    for (auto& pump : pumps_) pump.join();
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::atomic<int> connects{0};

 private:
  void serve() {
    while (true) {
      auto client = std::make_shared<tcp::socket>(acceptor_.accept());
      if (stopping_) return;
      asio::streambuf head;
      boost::system::error_code ec;
      asio::read_until(*client, head, "\r\n\r\n", ec);
      if (ec) continue;
      std::istream text(&head);
      std::string method, target;
      text >> method >> target;
      const auto colon = target.rfind(':');
      auto server = std::make_shared<tcp::socket>(io_);
      server->connect({asio::ip::make_address(target.substr(0, colon)),
                       static_cast<std::uint16_t>(std::stoi(target.substr(colon + 1)))},
                      ec);
      if (method != "CONNECT" || ec) continue;
      ++connects;
      asio::write(*client,
                  asio::buffer(std::string("HTTP/1.1 200 Connection established\r\n\r\n")));
      const auto pump = [](std::shared_ptr<tcp::socket> from, std::shared_ptr<tcp::socket> to) {
        char buffer[4096];
        boost::system::error_code gone;
        for (;;) {
          const auto n = from->read_some(asio::buffer(buffer), gone);
          if (gone) break;
          asio::write(*to, asio::buffer(buffer, n), gone);
          if (gone) break;
        }
        to->shutdown(tcp::socket::shutdown_both, gone);
        from->shutdown(tcp::socket::shutdown_both, gone);
      };
      pumps_.emplace_back(pump, client, server);
      pumps_.emplace_back(pump, server, client);
    }
  }
  asio::io_context io_;
  tcp::acceptor acceptor_{io_, {asio::ip::make_address("127.0.0.1"), 0}};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> pumps_;
  std::thread thread_;
};

struct Town {
  Folder folder;
  net::Worker worker{0, system_clock()};
  test::MiniGateway gateway{worker, system_disk(), folder.path + "/gateway"};
  Engine engine{worker};
  config::AgentConfig config;
  std::thread thread;

  Town() {
    telemetry::set_log_level(telemetry::Level::error);
    REQUIRE(gateway.open("127.0.0.1", 0).empty());
    config.gateway_host = "127.0.0.1";
    config.gateway_port = gateway.port();
    config.state = folder.path + "/agent";
    config::AgentEngineConfig one;
    one.endpoint.host = "127.0.0.1";
    one.endpoint.port = engine.port();
    config.engines.push_back(one);
    config.manual_devices.push_back({"nvidia", "RTX 4090", 24'000'000'000, 2});
    thread = std::thread([this] { worker.run(); });
  }
  ~Town() {
    worker.stop();
    thread.join();
  }
  // On the gateway's thread, waited for.
  template <class Task>
  void there(Task task) {
    std::promise<void> done;
    worker.post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  template <class Condition>
  bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    bool holds = false;
    while (!holds && std::chrono::steady_clock::now() < until) {
      there([&] { holds = condition(); });
      std::this_thread::yield();
    }
    return holds;
  }
  std::string ask(const std::string& body) {
    test::MiniCall customer;
    bool ended = false;
    there([&] {
      http::CallRequest request;
      request.path = "/v1/completions";
      request.body = body;
      customer.done = [&] { ended = true; };
      customer.call =
          gateway.tunnel()->call(gateway.offers().at(0).id, std::move(request), customer);
    });
    REQUIRE(eventually([&] { return ended; }));
    there([&] { customer.call.reset(); });
    CHECK(customer.status == 200);
    CHECK(customer.ended);
    return customer.body;
  }
};

}  // namespace

TEST_CASE("an agent enrols, dials, serves, comes back after a loss and leaves in order") {
  Town town;
  const bool through_proxy = GENERATE(false, true);
  std::optional<Proxy> proxy;
  if (through_proxy) {
    proxy.emplace();
    town.config.proxy = config::Address{"127.0.0.1", proxy->port()};
  }
  CHECK(agent::run_agent(town.config) == 1);  // not enrolled yet

  std::string token;
  town.there([&] { token = town.gateway.invite("cafe-one"); });
  REQUIRE(agent::enrol_agent(token, town.config) == 0);
  CHECK(town.gateway.registry().find("cafe-one")->state == fleet::SiteState::probation);
  CHECK((std::filesystem::status(town.config.state + "/agent.key").permissions() &
         std::filesystem::perms::all) ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  CHECK(agent::enrol_agent(token, town.config) == 1);  // used

  std::atomic<int> code{-1};
  std::thread agent([&] { code = agent::run_agent(town.config); });
  CHECK(town.eventually([&] { return town.gateway.offers().size() == 1; }));
  town.there([&] {
    CHECK(town.gateway.offers()[0].model == "tiny");
    CHECK(town.gateway.offers()[0].vendor == "nvidia");
  });
  CHECK(town.ask("hello") == "echo:hello");
  const std::string large(600'000, 'x');
  CHECK(town.ask(large) == "echo:" + large);

  town.there([&] { town.gateway.drop_tunnel(); });
  CHECK(town.eventually(
      [&] { return town.gateway.hellos == 2 && town.gateway.offers().size() == 1; }));
  CHECK(town.ask("again") == "echo:again");
  if (through_proxy) CHECK(proxy->connects >= 3);

  ::kill(::getpid(), SIGTERM);
  agent.join();
  CHECK(code == 0);
  CHECK(town.eventually([&] { return town.gateway.tunnel() == nullptr; }));
}

TEST_CASE("an agent whose site was revoked is not let in") {
  Town town;
  std::string token;
  town.there([&] { token = town.gateway.invite("cafe-one"); });
  REQUIRE(agent::enrol_agent(token, town.config) == 0);
  REQUIRE(town.gateway.registry().revoke("cafe-one", "test").empty());
  std::atomic<int> code{-1};
  std::thread agent([&] { code = agent::run_agent(town.config); });
  CHECK(town.eventually([&] { return town.gateway.refused >= 1; }));
  CHECK(town.gateway.hellos == 0);
  ::kill(::getpid(), SIGTERM);
  agent.join();
  CHECK(code == 0);
}

TEST_CASE("an invite of another gateway is recognised before anything is sent") {
  Town town, other;
  std::string token;
  other.there([&] { token = other.gateway.invite("cafe-one"); });
  CHECK(agent::enrol_agent(token, town.config) == 1);  // the pin does not fit
  CHECK(agent::enrol_agent("trib1.rubbish", town.config) == 1);
  CHECK_FALSE(town.gateway.registry().find("cafe-one"));
}
