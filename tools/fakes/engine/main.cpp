// tributary-fake-engine: a scripted stand-in for an inference engine. It generates nothing; what it
// answers is written in script.h. Prints one line an engine when it is ready: "ready
// http://HOST:PORT".
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <iostream>
#include <map>

#include "tools/fakes/engine/server.h"

namespace {

using trib::fake::Options;

constexpr const char* kUsage =
    "usage: tributary-fake-engine [--port N] [--bind IP] [--engines N] [--name NAME] [--models "
    "A,B]\n"
    "  [--dialect vllm|llamacpp|generic] [--flat-errors] [--strict-models] [--slots N]\n"
    "  [--refuse-when-full] [--context N] [--api-key KEY] [--log-max N] [--log-bodies]\n"
    "  [--tokens N] [--interval-ms N] [--first-ms N] [--script JSON]\n";

trib::fake::Server* running = nullptr;
void on_signal(int) {
  if (running) running->stop();
}

template <typename T>
bool number(const std::string& text, T& to) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), to);
  return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
}

bool script(const std::string& text, Options& options) {
  boost::system::error_code error;
  const boost::json::value root = boost::json::parse(text, error);
  std::string why = "no JSON object";
  if (!error && root.is_object() &&
      trib::fake::apply(root.get_object(), options.name, options.script, why)) {
    return true;
  }
  std::cerr << "--script: " << why << '\n';
  return false;
}

bool models(const std::string& text, Options& options) {
  options.models.clear();
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    if (comma > from) options.models.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  return !options.models.empty();
}

bool milliseconds(const std::string& text, std::int64_t& to_us) {
  std::int64_t ms = 0;
  if (!number(text, ms) || ms < 0 || ms > 1'000'000) return false;
  to_us = ms * 1000;
  return true;
}

bool parse(int argc, char** argv, Options& options) {
  using Take = std::function<bool(const std::string&)>;
  const std::map<std::string, Take> valued{
      {"--port", [&](auto& v) { return number(v, options.port); }},
      {"--bind",
       [&](auto& v) {
         options.bind = v;
         return true;
       }},
      {"--engines",
       [&](auto& v) {
         return number(v, options.engines) && options.engines > 0 && options.engines <= 64;
       }},
      {"--name",
       [&](auto& v) {
         options.name = v;
         return true;
       }},
      {"--models", [&](auto& v) { return models(v, options); }},
      {"--dialect", [&](auto& v) { return trib::fake::dialect_of(v, options.dialect); }},
      {"--slots", [&](auto& v) { return number(v, options.slots) && options.slots > 0; }},
      {"--context", [&](auto& v) { return number(v, options.context) && options.context > 0; }},
      {"--api-key",
       [&](auto& v) {
         options.api_key = v;
         return true;
       }},
      {"--log-max", [&](auto& v) { return number(v, options.log_max); }},
      {"--tokens",
       [&](auto& v) { return number(v, options.script.tokens) && options.script.tokens >= 0; }},
      {"--interval-ms", [&](auto& v) { return milliseconds(v, options.script.interval_us); }},
      {"--first-ms", [&](auto& v) { return milliseconds(v, options.script.first_us); }},
      {"--script", [&](auto& v) { return script(v, options); }},
  };
  const std::map<std::string, bool*> flags{{"--flat-errors", &options.flat_errors},
                                           {"--refuse-when-full", &options.refuse_when_full},
                                           {"--log-bodies", &options.log_bodies}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--strict-models") {
      options.any_model = false;
    } else if (const auto flag = flags.find(word); flag != flags.end()) {
      *flag->second = true;
    } else {
      const auto take = valued.find(word);
      if (take == valued.end() || i + 1 >= argc || !take->second(argv[++i])) {
        std::cerr << "bad argument " << word << '\n' << kUsage;
        return false;
      }
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) return 2;
  try {
    trib::fake::Server server(options);
    running = &server;
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    for (unsigned i = 0; i < options.engines; ++i) std::cout << "ready " << server.url(i) << '\n';
    std::cout.flush();
    server.run();
    running = nullptr;
  } catch (const std::exception& error) {
    std::cerr << "tributary-fake-engine: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
