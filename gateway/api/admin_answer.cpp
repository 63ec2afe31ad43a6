#include "gateway/api/admin_answer.h"

#include "gateway/base/base.h"
#include "gateway/exchange/exchange.h"

namespace trib::api {

namespace bj = boost::json;

Answer ok(const bj::value& value, int status) { return {status, bj::serialize(value) + "\n"}; }

Answer error(int status, std::string_view message, std::string_view code) {
  return {status, exchange::error_json(message, exchange::error_type(status), {}, code)};
}

Answer unreadable(std::string_view why) {
  return error(503, "The ledger's store cannot be read: " + std::string(why) + ". Ask again when it can.", "ledger_unavailable");
}

bj::value text_or_null(const std::string& text) { return text.empty() ? bj::value(nullptr) : bj::value(text); }

std::map<std::string, std::string> read_query(std::string_view query) {
  std::map<std::string, std::string> out;
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    const auto equals = pair.find('=');
    std::string value;
    for (std::size_t i = equals == std::string_view::npos ? pair.size() : equals + 1; i < pair.size(); ++i) {
      if (pair[i] == '%' && i + 2 < pair.size()) {
        if (const auto byte = from_hex(pair.substr(i + 1, 2))) {
          value += *byte;
          i += 2;
          continue;
        }
      }
      value += pair[i];
    }
    out.emplace(std::string(pair.substr(0, equals)), std::move(value));
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace trib::api
