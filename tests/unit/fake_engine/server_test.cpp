#include "tools/fakes/engine/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <string>
#include <thread>

#include "tests/catch.h"

using namespace trib::fake;

namespace {

class Running {
 public:
  explicit Running(Options options)
      : server(std::move(options)), thread([this] { server.run(); }) {}
  ~Running() {
    server.stop();
    thread.join();
  }
  Server server;

 private:
  std::thread thread;
};

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send_bytes(const std::string& bytes) {
    REQUIRE(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  void post(const std::string& path, const std::string& body) {
    send_bytes("POST " + path + " HTTP/1.1\r\nHost: e\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  // Reads until `end` was seen; an early end of the connection ends it too.
  std::string until(const std::string& end) {
    while (seen_.find(end) == std::string::npos) {
      char space[4096];
      const ssize_t got = recv(fd_, space, sizeof space, 0);
      if (got <= 0) {
        reset = got < 0 && errno == ECONNRESET;
        ended = true;
        return std::exchange(seen_, {});
      }
      seen_.append(space, static_cast<std::size_t>(got));
    }
    const std::size_t at = seen_.find(end) + end.size();
    std::string taken = seen_.substr(0, at);
    seen_.erase(0, at);
    return taken;
  }
  // The body of an answer with a length.
  std::string answer() {
    const std::string head = until("\r\n\r\n");
    const std::size_t length = std::stoul(head.substr(head.find("Content-Length: ") + 16));
    while (seen_.size() < length) {
      char space[4096];
      const ssize_t got = recv(fd_, space, sizeof space, 0);
      REQUIRE(got > 0);
      seen_.append(space, static_cast<std::size_t>(got));
    }
    std::string body = seen_.substr(0, length);
    seen_.erase(0, length);
    return body;
  }
  bool ended = false;
  bool reset = false;

 private:
  int fd_;
  std::string seen_;
};

const std::string kChat = "/v1/chat/completions";

std::string chat(const std::string& model, bool stream) {
  return R"({"model":")" + model + R"(","stream":)" + (stream ? "true" : "false") +
         R"(,"messages":[{"role":"user","content":"hi"}]})";
}

}  // namespace

TEST_CASE("a connection serves one request after another, pipelined ones too") {
  Running running({});
  Client client(running.server.port());
  for (int i = 0; i < 3; ++i) client.post(kChat, chat("m.tokens-2", false));
  for (int i = 0; i < 3; ++i) {
    const auto answer = boost::json::parse(client.answer());
    CHECK(answer.at("choices").at(0).at("message").at("content") == "t1 t2");
  }
  client.post(kChat, chat("m.tokens-2", true));
  CHECK(client.until("0\r\n\r\n").find("[DONE]") != std::string::npos);
  client.send_bytes("GET /v1/models HTTP/1.1\r\nHost: e\r\n\r\n");
  CHECK(client.answer().find("fake-model") != std::string::npos);
}

TEST_CASE("a reset is a reset and a cut is a cut") {
  Running running({});
  Client reset(running.server.port());
  reset.post(kChat, chat("m.reset", true));
  reset.until("never");
  CHECK(reset.reset);
  Client cut(running.server.port());
  cut.post(kChat, chat("m.cut", true));
  const std::string got = cut.until("never");
  CHECK_FALSE(cut.reset);
  CHECK(got.find("t1") != std::string::npos);
}

TEST_CASE("a fault hits the first requests of a script only, whichever engine has them") {
  Options options;
  options.engines = 2;
  Running running(options);
  Client first(running.server.port(0));
  Client second(running.server.port(1));
  first.post(kChat, chat("m.status-503.times-1", false));
  CHECK(first.until("\r\n").find("503") != std::string::npos);
  second.post(kChat, chat("m.status-503.times-1", false));
  CHECK(second.until("\r\n").find("200") != std::string::npos);
}

TEST_CASE("requests beyond the slots wait, and one who leaves frees a slot") {
  Options options;
  options.slots = 1;
  Running running(options);
  Client waiting(running.server.port());
  {
    Client holder(running.server.port());
    holder.post(kChat, chat("m.silence_after_head", true));
    holder.until("\r\n\r\n");
    waiting.post(kChat, chat("m.tokens-1", false));
  }
  CHECK(waiting.answer().find("t1") != std::string::npos);
  Client asking(running.server.port());
  asking.send_bytes("GET /fake/log?path=/v1/chat/completions HTTP/1.1\r\nHost: e\r\n\r\n");
  const std::string log = asking.answer();
  CHECK(log.find(R"("outcome":"cancelled")") != std::string::npos);
  CHECK(log.find(R"("outcome":"completed")") != std::string::npos);
}

TEST_CASE("a script can be posted and taken back") {
  Running running({});
  Client client(running.server.port());
  client.post("/fake/script", R"({"model":"m","script":{"fault":"status","status":502}})");
  client.answer();
  client.post(kChat, chat("m", false));
  CHECK(client.answer().find("scripted failure") != std::string::npos);
  client.post("/fake/reset", "");
  client.answer();
  client.post(kChat, chat("m", false));
  CHECK(client.answer().find("t16") != std::string::npos);
}

TEST_CASE("a slow reader holds up only itself") {
  Running running({});
  Client slow(running.server.port());
  slow.post(kChat, chat("m.endless", true));
  slow.until("t1");
  Client quick(running.server.port());
  for (int i = 0; i < 20; ++i) {
    quick.post(kChat, chat("m.tokens-1", false));
    CHECK(quick.answer().find("t1") != std::string::npos);
  }
}

TEST_CASE("a request that continues a text has a fault of its own") {
  Running running({});
  Client client(running.server.port());
  const std::string ask = R"({"model":"m","continue_final_message":true,"add_generation_prompt":false,"messages":[)"
                          R"({"role":"user","content":"#script {\"tokens\":3,\"continued\":\"status\",\"status\":502}"})";
  client.post(kChat, ask + "]}");
  CHECK(client.answer().find("t1 t2 t3") != std::string::npos);
  client.post(kChat, ask + R"(,{"role":"assistant","content":"t1"}]})");
  CHECK(client.until("\r\n").find("502") != std::string::npos);
}

TEST_CASE("a completion goes on after the text behind its script") {
  Running running({});
  Client client(running.server.port());
  client.post("/v1/completions", R"({"model":"m","prompt":"#script {\"tokens\":4}\nt1 t2"})");
  CHECK(client.answer().find(R"("text":" t3 t4")") != std::string::npos);
}

TEST_CASE("the template of llama.cpp leaves the assistant's turn open") {
  Options options;
  options.dialect = Dialect::llamacpp;
  Running running(options);
  Client client(running.server.port());
  client.post("/apply-template", R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"so far"}]})");
  CHECK(client.answer().find("so far\"}") != std::string::npos);
}

TEST_CASE("a conversation as ids is gone on with like the conversation itself") {
  for (const auto dialect : {Dialect::vllm, Dialect::llamacpp}) {
    Options options;
    options.dialect = dialect;
    options.script.tokens = 4;
    Running running(options);
    Client client(running.server.port());
    const std::string talk = "<|user|>#script {\"tokens\":4}\nGo<|assistant|>t1 t2";
    std::string ids;
    for (const char c : talk) ids += (ids.empty() ? "" : ",") + std::to_string(static_cast<unsigned char>(c));
    const std::string key = dialect == Dialect::vllm ? "prompt" : "content";
    const std::string words = boost::json::serialize(boost::json::value(talk));
    client.post("/tokenize", "{\"" + key + "\":" + words + "}");
    CHECK(client.answer().find("\"tokens\":[" + ids + "]") != std::string::npos);
    client.post("/detokenize", "{\"tokens\":[" + ids + "]}");
    CHECK(client.answer().find("{\"" + key + "\":" + words + "}") != std::string::npos);
    for (const auto& prompt : {"[" + ids + "]", words}) {
      client.post("/v1/completions", "{\"model\":\"m\",\"prompt\":" + prompt + "}");
      CHECK(client.answer().find("\"text\":\" t3 t4\"") != std::string::npos);
    }
    client.post("/tokenize", "{}");
    CHECK(client.answer().find("\"error\":") != std::string::npos);
  }
}

TEST_CASE("a way of going on may be refused on its own, or for the first so many") {
  Running running(Options{});
  Client client(running.server.port());
  const auto text = [](std::string_view script) {
    return "{\"model\":\"m\",\"prompt\":" + boost::json::serialize(boost::json::value("#script " + std::string(script) + "\nt1")) + "}";
  };
  client.post("/v1/completions", text(R"({"refuses":"ids chat"})"));
  CHECK(client.answer().find("\"text\":") != std::string::npos);
  client.post("/v1/completions", text(R"({"refuses":"text"})"));
  CHECK(client.answer().find("\"error\":") != std::string::npos);
  for (const bool refused : {true, true, false}) {
    client.post("/v1/completions", text(R"({"continued":"prefill_refused","continued_times":2})"));
    CHECK((client.answer().find("\"error\":") != std::string::npos) == refused);
  }
}
