// The one unit that compiles Asio; every other unit sees declarations only.
#include <boost/asio/impl/src.hpp>
