#include "gateway/app/client.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace trib::app {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bh = boost::beast::http;

constexpr std::uint64_t answer_bytes_max = 2ull << 30;

template <class Stream>
Reply transact(Stream& stream, const bh::request<bh::string_body>& request) {
  bh::write(stream, request);
  beast::flat_buffer buffer;
  bh::response_parser<bh::string_body> parser;
  parser.body_limit(answer_bytes_max);
  bh::read(stream, buffer, parser);
  auto& response = parser.get();
  return {static_cast<int>(response.result_int()), std::move(response.body())};
}

}  // namespace

Reply ask(const std::string& url, const std::string& token, const std::string& method, const std::string& target,
          const std::string& body) {
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://")) return {0, "the gateway's address must begin with http:// or https://: " + url};
  std::string host = url.substr(tls ? 8 : 7);
  while (!host.empty() && host.back() == '/') host.pop_back();
  std::string port = tls ? "443" : "80";
  if (const auto colon = host.rfind(':'); colon != std::string::npos && host.find(']', colon) == std::string::npos) {
    port = host.substr(colon + 1);
    host.resize(colon);
  }
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  bh::request<bh::string_body> request;
  request.method_string(method);
  request.target(target);
  request.version(11);
  request.set(bh::field::host, host + ":" + port);
  if (!token.empty()) request.set(bh::field::authorization, "Bearer " + token);
  if (!body.empty()) request.set(bh::field::content_type, "application/json");
  request.set(bh::field::connection, "close");
  request.body() = body;
  request.prepare_payload();
  try {
    asio::io_context io;
    asio::ip::tcp::resolver resolver(io);
    const auto found = resolver.resolve(host, port);
    if (!tls) {
      asio::ip::tcp::socket socket(io);
      asio::connect(socket, found);
      return transact(socket, request);
    }
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.set_default_verify_paths();
    context.set_verify_mode(asio::ssl::verify_peer);
    asio::ssl::stream<asio::ip::tcp::socket> stream(io, context);
    stream.set_verify_callback(asio::ssl::host_name_verification(host));
    SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
    asio::connect(stream.next_layer(), found);
    stream.handshake(asio::ssl::stream_base::client);
    return transact(stream, request);
  } catch (const boost::system::system_error& error) {  // its what() names the library's own source line
    const std::string why = "cannot reach the gateway at " + url + ": " + error.code().message();
    if (error.code().category() == asio::error::get_ssl_category())
      return {0, why + "; SSL_CERT_FILE=FILE names another CA file than the system's"};
    return {0, why + "; is it running? (--gateway URL or $TRIBUTARY_URL)"};
  } catch (const std::exception& error) {
    return {0, "cannot reach the gateway at " + url + ": " + error.what() + "; is it running? (--gateway URL or $TRIBUTARY_URL)"};
  }
}

}  // namespace trib::app
