// tributary-load: asks an OpenAI endpoint for chat answers and prints what it saw as one JSON
// object.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <string>

#include "tools/bench/load/client.h"

namespace {

constexpr const char* kUsage =
    "usage: tributary-load closed|open|streams --url http://IP:PORT [--key KEY] [--model M]\n"
    "  [--connections N]   connections, or streams open at a time (32)\n"
    "  [--rate R]          requests a second of `open` (1000)\n"
    "  [--tokens N] [--interval-ms N] [--first-ms N]   asked of the scripted engine (16, 0, "
    "interval)\n"
    "  [--prompt-bytes N]  the prompt is padded to so many (64)\n"
    "  [--ramp S] [--warm S] [--seconds S]   opening, warm-up and window (0, 1, 5)\n"
    "  [--watch PID,PID]   also the CPU time of these processes in the window\n"
    "  [--mark]            prints \"mark warm\" in the midst of the warm-up, \"mark open\" and\n"
    "                      \"mark closed\" at the window's ends\n";

using trib::bench::Outcome;
using trib::bench::Plan;

void mark(trib::bench::Mark mark) {
  using enum trib::bench::Mark;
  std::puts(mark == warm ? "mark warm" : mark == open ? "mark open" : "mark closed");
  std::fflush(stdout);
}

std::string request_of(std::map<std::string, std::string>& words, bool stream) {
  std::string script = "#script {\\\"tokens\\\":" + words["--tokens"] +
                       ",\\\"interval_ms\\\":" + words["--interval-ms"];
  if (!words["--first-ms"].empty()) script += ",\\\"first_ms\\\":" + words["--first-ms"];
  script += "}\\n";
  const auto want = static_cast<std::size_t>(std::atol(words["--prompt-bytes"].c_str()));
  while (script.size() < want) script += "tell me more of it ";
  std::string body = "{\"model\":\"" + words["--model"] +
                     "\",\"messages\":[{\"role\":\"user\",\"content\":\"" + script + "\"}]";
  body += stream ? ",\"stream\":true}" : "}";
  std::string head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: " + words["--url"].substr(7) + "\r\n";
  if (!words["--key"].empty()) head += "Authorization: Bearer " + words["--key"] + "\r\n";
  head +=
      "Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: "
      "tributary-load\r\nContent-Length: ";
  return head + std::to_string(body.size()) + "\r\n\r\n" + body;
}

bool plan_of(std::map<std::string, std::string>& words, Plan& plan) {
  const std::string& url = words["--url"];
  const std::size_t colon = url.rfind(':');
  if (url.substr(0, 7) != "http://" || colon < 7) return false;
  plan.host = url.substr(7, colon - 7);
  plan.port = static_cast<std::uint16_t>(std::atoi(url.c_str() + colon + 1));
  plan.connections = static_cast<unsigned>(std::atoi(words["--connections"].c_str()));
  plan.rate_per_s = std::atof(words["--rate"].c_str());
  plan.tokens = std::atol(words["--tokens"].c_str());
  plan.ramp_s = std::atof(words["--ramp"].c_str());
  plan.warm_s = std::atof(words["--warm"].c_str());
  plan.window_s = std::atof(words["--seconds"].c_str());
  const std::string& watch = words["--watch"];
  for (std::size_t at = 0; at < watch.size();) {
    plan.watched.push_back(std::atoi(watch.c_str() + at));
    const std::size_t comma = watch.find(',', at);
    at = comma == std::string::npos ? watch.size() : comma + 1;
  }
  plan.request = request_of(words, plan.kind == Plan::Kind::streams);
  return plan.port != 0 && plan.connections > 0 && plan.rate_per_s > 0 && plan.window_s > 0;
}

void print(const Outcome& out) {
  std::printf(
      "{\"window_s\":%.4f,\"requests\":%lld,\"errors\":%lld,\"late\":%lld,\"requests_per_s\":%.1f,",
      out.window_s, static_cast<long long>(out.requests), static_cast<long long>(out.errors),
      static_cast<long long>(out.late), static_cast<double>(out.requests) / out.window_s);
  std::printf(
      "\"events\":%lld,\"tokens\":%lld,\"tokens_per_s\":%.1f,\"reads\":%lld,\"broken_order\":%lld,",
      static_cast<long long>(out.events), static_cast<long long>(out.tokens),
      static_cast<double>(out.tokens) / out.window_s, static_cast<long long>(out.reads),
      static_cast<long long>(out.broken_order));
  std::printf("\"typical_us\":{\"p50\":%.1f,\"p99\":%.1f},", static_cast<double>(out.typical.p50_ns) / 1e3,
              static_cast<double>(out.typical.p99_ns) / 1e3);
  std::printf("\"latency_us\":%s,\"first_us\":%s,\"gap_us\":%s,", out.latency.json_us().c_str(),
              out.first.json_us().c_str(), out.gaps.json_us().c_str());
  std::printf(
      "\"self\":{\"user_s\":%.3f,\"system_s\":%.3f},\"watched\":{\"user_s\":%.3f,\"system_s\":%.3f}"
      ",",
      out.self.user_s, out.self.system_s, out.watched.user_s, out.watched.system_s);
  std::printf("\"first_error\":\"%s\"}\n", out.first_error.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> words{
      {"--url", ""},           {"--key", ""},      {"--model", "fake-model"},
      {"--connections", "32"}, {"--rate", "1000"}, {"--tokens", "16"},
      {"--interval-ms", "0"},  {"--first-ms", ""}, {"--prompt-bytes", "64"},
      {"--ramp", "0"},         {"--warm", "1"},    {"--seconds", "5"},
      {"--watch", ""}};
  Plan plan;
  bool marks = false;
  const std::string kind = argc > 1 ? argv[1] : "";
  if (kind == "closed")
    plan.kind = Plan::Kind::closed;
  else if (kind == "open")
    plan.kind = Plan::Kind::open;
  else if (kind == "streams")
    plan.kind = Plan::Kind::streams;
  bool good = kind == "closed" || kind == "open" || kind == "streams";
  for (int i = 2; good && i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--mark") {
      marks = true;
      continue;
    }
    good = words.count(word) != 0 && i + 1 < argc;
    if (good) words[word] = argv[++i];
  }
  if (!good || !plan_of(words, plan)) {
    std::cerr << kUsage;
    return 2;
  }
  try {
    print(trib::bench::run(plan, marks ? mark : nullptr));
  } catch (const std::exception& error) {
    std::cerr << "tributary-load: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
