#include "tools/fakes/engine/log.h"

#include "tools/fakes/engine/text.h"

namespace trib::fake {
namespace {

void text(std::string_view name, std::string_view value, std::string& out) {
  out += ",\"";
  out += name;
  out += "\":\"";
  escape(value, out);
  out += '"';
}

void number(std::string_view name, std::int64_t value, std::string& out) {
  out += ",\"";
  out += name;
  out += "\":";
  append_number(value, out);
}

void flag(std::string_view name, bool value, std::string& out) {
  out += ",\"";
  out += name;
  out += value ? "\":true" : "\":false";
}

void line(const Record& record, std::string& out) {
  out += "{\"n\":";
  append_number(static_cast<std::int64_t>(record.n), out);
  text("engine", record.engine, out);
  number("conn", static_cast<std::int64_t>(record.conn), out);
  number("on_conn", static_cast<std::int64_t>(record.on_conn), out);
  text("method", record.method, out);
  text("path", record.path, out);
  text("model", record.model, out);
  flag("stream", record.stream, out);
  text("fault", record.fault, out);
  number("status", record.status, out);
  text("outcome", record.outcome, out);
  number("tokens", record.tokens, out);
  number("tokens_whole", record.tokens_whole, out);
  number("prompt_tokens", record.prompt_tokens, out);
  number("continued", record.continued, out);
  flag("foreign", record.foreign, out);
  number("started_ms", record.started_ms, out);
  number("ended_ms", record.ended_ms, out);
  out += ",\"fields\":";
  out += record.fields.empty() ? "{}" : record.fields;
  if (!record.body.empty()) {
    out += ",\"body\":";
    out += record.body;
  }
  out += "}\n";
}

}  // namespace

Record* Log::add() {
  if (most_ == 0) return nullptr;
  if (records_.size() >= most_) records_.pop_front();
  records_.emplace_back();
  records_.back().n = ++last_;
  return &records_.back();
}

Record* Log::find(std::uint64_t n) {
  if (records_.empty() || n < records_.front().n || n > records_.back().n) return nullptr;
  return &records_[n - records_.front().n];
}

void Log::reset() {
  records_.clear();  // numbers go on, so that a running request cannot be taken for a new one
}

std::string Log::lines(std::string_view path, std::string_view model) const {
  std::string out;
  for (const Record& record : records_) {
    if (!path.empty() && record.path != path) continue;
    if (!model.empty() && record.model != model) continue;
    line(record, out);
  }
  return out;
}

}  // namespace trib::fake
