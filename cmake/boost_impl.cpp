// The one place where the bodies of Boost.Asio, Boost.Beast and Boost.JSON are compiled.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
#include <boost/json/src.hpp>
