// rpc_server: a small relay server that wastes memory in the ways real servers do, so that memtui has something to show.
//
// Clients of its own (threads of this process, over real loopback sockets) send it framed requests; a poller hands
// connections that have something to say to a pool of workers. On purpose, and switched by options:
//   leaks         sessions, decoded messages and traces that are forgotten ("planted leak" marks each line)
//   bursts        uploads that fill large buffers, which are freed together: memory that tcmalloc then keeps
//   scratch       a buffer for the largest frame, taken for each of many requests though few of its pages are used
//   fragments     small blocks of which one in sixteen stays, so that pages can be neither used nor given back
// What happens depends on the time since the start and on --seed alone.

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

// Null where the allocator is not tcmalloc.
extern "C" void MallocExtension_ReleaseFreeMemory() __attribute__((weak));

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr size_t kMiB = 1 << 20;
constexpr size_t kUploadBytes = 8 * kMiB;    // what one upload is assembled in; freed when the burst ends
constexpr size_t kWindowBytes = 1 * kMiB;    // what is remembered of each uploader
constexpr size_t kUploaders = 50;            // as many as the largest burst has
constexpr size_t kScratchBytes = 32 * kMiB;  // room for the largest frame
constexpr size_t kRoutes = 2;                // tables of 1 MiB, in use from the start to the end
constexpr size_t kFrameLimit = 64 * 1024;
constexpr uint32_t kVersion = 2;

struct Options {
    int port = 0;
    unsigned seed = 1;
    int clients = 8;
    int workers = 4;
    size_t leak_bytes = 4096;     // lost by each request that leaks, in sessions of 4 KiB
    double leak_rate = 250;       // such requests a second
    size_t leak_limit_mib = 128;  // after that nothing more is lost
    bool bursts = true;
    size_t churn_mib = 1024;  // MiB of scratch buffers taken and freed a second
    bool fragment = false;
    bool storyboard = false;
    bool ignore_sigterm = false;
    double for_s = 0;  // 0: until a signal comes
};

static Options options;
static std::atomic<size_t> leaked_bytes{0};
static std::atomic<size_t> requests{0};

static bool leaking() { return options.leak_bytes > 0 && leaked_bytes < options.leak_limit_mib * kMiB; }

// Logs without stdio's buffer, which would be one more block that is never freed.
template <typename... Values>
static void log_line(const char* format, Values... values) {
    dprintf(STDOUT_FILENO, format, values...);
}

// ---- What is stored ----

struct Conn;

struct Session {
    explicit Session(const Conn& owner) : conn(&owner) { history.fill(0); }
    const Conn* conn;
    std::array<char, 4096 - sizeof(void*)> history;
};

struct Trace {
    uint64_t request;
    std::array<char, 248> text;
};

struct Conn {
    explicit Conn(int socket) : fd(socket) {}
    Conn(const Conn&) = delete;
    Conn& operator=(const Conn&) = delete;
    ~Conn() {
        delete session;
        delete trace;
        close(fd);
    }
    const int fd;
    uint64_t served = 0;
    Session* session = nullptr;
    Trace* trace = nullptr;
};

// ---- What goes over the wire ----

enum class Kind : uint32_t { hello, relay, upload, finish_uploads, scratch, fragment };

struct Header {
    uint32_t bytes;
    Kind kind;
};

struct Hello {
    uint32_t version = 1;
    std::array<char, 452> name{};
};

struct Count {
    uint32_t version = kVersion;
    uint32_t value = 0;
};

struct Frame {
    Kind kind = Kind::relay;
    std::vector<char> payload;

    template <typename Message>
    Message* decode() const;  // the caller's to delete
};

static bool read_all(int fd, void* into, size_t bytes) {
    for (char* at = static_cast<char*>(into); bytes > 0;) {
        const ssize_t got = recv(fd, at, bytes, 0);
        if (got == 0 || (got < 0 && errno != EINTR)) return false;
        if (got < 0) continue;
        at += got;
        bytes -= static_cast<size_t>(got);
    }
    return true;
}

static bool write_all(int fd, const void* from, size_t bytes, int flags = 0) {
    for (const char* at = static_cast<const char*>(from); bytes > 0;) {
        const ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL | flags);
        if (sent < 0 && errno != EINTR) return false;
        if (sent < 0) continue;
        at += sent;
        bytes -= static_cast<size_t>(sent);
    }
    return true;
}

static bool read_frame(int fd, Frame& frame) {
    Header header{};
    if (!read_all(fd, &header, sizeof header) || header.bytes > kFrameLimit) return false;
    frame.kind = header.kind;
    frame.payload.resize(header.bytes);
    return read_all(fd, frame.payload.data(), header.bytes);
}

static bool write_frame(int fd, Kind kind, const void* payload, size_t bytes) {
    const Header header{static_cast<uint32_t>(bytes), kind};
    return write_all(fd, &header, sizeof header, MSG_MORE) && write_all(fd, payload, bytes);
}

// A message of an older version is replaced by a copy brought up to date.
template <typename Message>
[[gnu::noinline]] Message* Frame::decode() const {
    auto* message = new Message();  // planted leak: forgotten when a newer copy takes its place
    std::memcpy(static_cast<void*>(message), payload.data(), std::min(payload.size(), sizeof(Message)));
    if (message->version == kVersion) return message;
    auto* current = new Message(*message);
    current->version = kVersion;
    if (leaking()) {
        leaked_bytes += sizeof(Message);
    } else {
        delete message;
    }
    return current;
}

// ---- What a request does ----

[[gnu::noinline]] static void open_session(Conn& conn) {
    const size_t channels = std::max<size_t>(1, options.leak_bytes / sizeof(Session));
    for (size_t channel = 0; channel < channels; ++channel) {
        if (!leaking()) {
            delete conn.session;
        } else if (conn.session != nullptr) {
            leaked_bytes += sizeof(Session);
        }
        conn.session = new Session(conn);  // planted leak: the session that the connection had is forgotten
    }
}

[[gnu::always_inline]] static inline void keep_trace(Conn& conn) {
    if (++conn.served % 8 != 0) return;
    if (!leaking()) {
        delete conn.trace;
    } else if (conn.trace != nullptr) {
        leaked_bytes += sizeof(Trace);
    }
    conn.trace = new Trace{conn.served, {}};  // planted leak: the trace before it is forgotten (inlined)
}

// The uploads of a burst, in buffers that are freed together. A window is remembered for each uploader, and windows lie between
// the places for buffers from the start: so free buffers do not grow together, and an allocator that gives free memory back
// piece by piece (tcmalloc, at its release rate) has pieces to give.
class Uploads {
public:
    Uploads() {
        std::vector<Block> places;
        for (size_t i = 0; i < kUploaders; ++i) {
            places.emplace_back(new char[kUploadBytes]);
            windows_.push_back(filled(kWindowBytes));
        }
        places.clear();
        if (MallocExtension_ReleaseFreeMemory != nullptr) MallocExtension_ReleaseFreeMemory();
    }
    void add(size_t count) {
        const std::lock_guard lock(mutex_);
        count = std::min(count, kUploaders - buffers_.size());
        for (size_t i = 0; i < count; ++i) buffers_.push_back(filled(kUploadBytes));
    }
    void finish() {
        const std::lock_guard lock(mutex_);
        log_line("burst=ended uploads=%zu freed_mib=%zu\n", buffers_.size(), buffers_.size() * kUploadBytes / kMiB);
        buffers_.clear();
    }

private:
    using Block = std::unique_ptr<char[]>;
    static Block filled(size_t bytes) {
        Block block(new char[bytes]);
        std::memset(block.get(), 0x5a, bytes);
        return block;
    }
    std::mutex mutex_;
    std::vector<Block> buffers_;
    std::vector<Block> windows_;
};

// Of every sixteen blocks one stays when, called with 0, the others go.
class Fragments {
public:
    void add(size_t count) {
        const std::lock_guard lock(mutex_);
        for (size_t i = 0; i < count; ++i) {
            const size_t bytes = 64 + random_() % 1024;
            std::unique_ptr<char[]> block(new char[bytes]);
            std::memset(block.get(), 0x33, bytes);
            (i % 16 == 0 ? kept_ : passing_).push_back(std::move(block));
        }
        if (count == 0) passing_.clear();
    }

private:
    std::mutex mutex_;
    std::minstd_rand random_{options.seed};
    std::vector<std::unique_ptr<char[]>> kept_;
    std::vector<std::unique_ptr<char[]>> passing_;
};

static void use_scratch(size_t count) {
    for (size_t i = 0; i < count; ++i) {
        std::unique_ptr<char[]> scratch(new char[kScratchBytes]);
        std::memset(scratch.get(), 0x11, 16 * 1024);
    }
}

static size_t count_in(const Frame& frame) {
    const std::unique_ptr<Count> message(frame.decode<Count>());
    return std::min<size_t>(message->value, 4096);
}

class Service {
public:
    [[gnu::noinline]] bool handle_rpc(Conn& conn) {
        Frame frame;
        if (!read_frame(conn.fd, frame)) return false;
        ++requests;
        keep_trace(conn);
        switch (frame.kind) {
            case Kind::hello:
                open_session(conn);
                delete frame.decode<Hello>();
                break;
            case Kind::relay:
                std::reverse(frame.payload.begin(), frame.payload.end());
                break;
            case Kind::upload:
                uploads_.add(count_in(frame));
                break;
            case Kind::finish_uploads:
                uploads_.finish();
                break;
            case Kind::scratch:
                use_scratch(count_in(frame));
                break;
            case Kind::fragment:
                fragments_.add(count_in(frame));
                break;
            default:
                return false;
        }
        return write_frame(conn.fd, frame.kind, frame.payload.data(), frame.payload.size());
    }

private:
    Uploads uploads_;
    Fragments fragments_;
};

// ---- The server: one poller, a queue, a pool of workers ----

class Queue {
public:
    void push(Conn* conn) {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(conn);
        changed_.notify_one();
    }
    Conn* pop() {  // nullptr: closed
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
        if (closed_) return nullptr;
        Conn* conn = waiting_.front();
        waiting_.pop_front();
        return conn;
    }
    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Conn*> waiting_;
    bool closed_ = false;
};

[[noreturn]] static void fail(const char* what) {
    std::perror(what);
    std::exit(3);
}

class Server {
public:
    Server() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const int yes = 1;
        setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        sockaddr_in address = loopback(options.port);
        socklen_t length = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (bind(listener_, generic, length) != 0 || listen(listener_, 128) != 0) fail("rpc_server: listen");
        getsockname(listener_, generic, &length);
        port_ = ntohs(address.sin_port);
        watch(EPOLL_CTL_ADD, listener_, EPOLLIN, &listener_);
        watch(EPOLL_CTL_ADD, wake_, EPOLLIN, &wake_);
        threads_.emplace_back(&Server::poll, this);
        for (int i = 0; i < options.workers; ++i) threads_.emplace_back(&Server::work, this);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        const uint64_t one = 1;
        if (write(wake_, &one, sizeof one) < 0) fail("rpc_server: eventfd");
        queue_.close();
        for (auto& thread : threads_) thread.join();
        for (const int fd : {listener_, wake_, epoll_}) close(fd);
    }
    int port() const { return port_; }

    static sockaddr_in loopback(int port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
    }

private:
    void watch(int operation, int fd, uint32_t events, void* tag) {
        epoll_event event{};
        event.events = events;
        event.data.ptr = tag;
        epoll_ctl(epoll_, operation, fd, &event);
    }
    void poll() {
        for (std::array<epoll_event, 32> events{};;) {
            const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < ready; ++i) {
                void* tag = events[static_cast<size_t>(i)].data.ptr;
                if (tag == &wake_) return;
                if (tag == &listener_) {
                    accept_conn();
                } else {
                    queue_.push(static_cast<Conn*>(tag));
                }
            }
        }
    }
    void accept_conn() {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {  // out of descriptors: the poller would be told again at once
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            return;
        }
        const timeval patience{2, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        auto conn = std::make_unique<Conn>(fd);
        Conn* tag = conn.get();
        {
            const std::lock_guard lock(mutex_);
            conns_[fd] = std::move(conn);
        }
        watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, tag);
    }
    [[gnu::noinline]] void work() {
        while (Conn* conn = queue_.pop()) {
            if (service_.handle_rpc(*conn)) {
                watch(EPOLL_CTL_MOD, conn->fd, EPOLLIN | EPOLLONESHOT, conn);
            } else {
                const std::lock_guard lock(mutex_);
                conns_.erase(conn->fd);
            }
        }
    }

    int listener_;
    int wake_ = eventfd(0, EFD_CLOEXEC);
    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    int port_ = 0;
    Service service_;
    Queue queue_;
    std::mutex mutex_;
    std::map<int, std::unique_ptr<Conn>> conns_;
    std::vector<std::thread> threads_;
};

// ---- The clients ----

class Stop {
public:
    bool wait_until(Clock::time_point when) {  // true: stop
        std::unique_lock lock(mutex_);
        return changed_.wait_until(lock, when, [this] { return stopped_; });
    }
    void set() {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopped_ = false;
};

class Client {
public:
    explicit Client(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const sockaddr_in address = Server::loopback(port);
        if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("rpc_server: connect");
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() { close(fd_); }
    bool call(Kind kind, const void* payload, size_t bytes) {
        return write_frame(fd_, kind, payload, bytes) && read_frame(fd_, answer_);
    }
    bool call(Kind kind, size_t count) {
        const Count message{kVersion, static_cast<uint32_t>(count)};
        return call(kind, &message, sizeof message);
    }

private:
    int fd_;
    Frame answer_;
};

static void say_hello(int port, int index, Clock::time_point start, Stop& stop) {
    Client client(port);
    std::minstd_rand random(options.seed + static_cast<unsigned>(index));
    std::vector<char> letter(kFrameLimit, 'x');
    const Seconds interval(options.clients / options.leak_rate);
    for (uint64_t turn = 1;; ++turn) {
        const Seconds due = interval * (static_cast<double>(turn) + static_cast<double>(index) / options.clients);
        if (stop.wait_until(start + std::chrono::duration_cast<Clock::duration>(due))) return;
        if (turn % 4 == 0 && !client.call(Kind::relay, letter.data(), 512 + random() % 16384)) return;
        const Hello hello;
        if (!client.call(Kind::hello, &hello, sizeof hello)) return;
    }
}

struct Load {
    size_t uploads = 0;       // buffers held at this moment
    double scratch_rate = 0;  // scratch buffers taken and freed a second
};

// In 8 seconds four bursts, each larger than the one before, and after each a flurry of scratch buffers: 24 GiB, after the last
// 48 GiB. Of what is freed tcmalloc gives rate / 1000 back: 48 MiB at a rate of 1, at 7.5 all 360 MiB of the burst.
static Load storyboard_at(double now_s) {
    constexpr std::array<size_t, 4> kUploads{12, 23, 34, 45};
    constexpr double kScratchPerS = 1280;
    const double cycle_s = std::fmod(now_s, 60.0);
    const auto burst = static_cast<size_t>(cycle_s / 2.0);
    const double burst_s = std::fmod(cycle_s, 2.0);
    if (burst < 4 && burst_s < 1.4) {
        const double part = std::min(1.0, std::max(0.0, burst_s - 0.2) / 0.9);
        return {static_cast<size_t>(part * static_cast<double>(kUploads[burst])), 0};
    }
    return {0, cycle_s < 8.6 && cycle_s > 1.4 ? kScratchPerS : 0};
}

// Every 10 seconds a burst of 300 to 400 MiB, its size by the seed.
static Load bursts_at(double now_s) {
    std::minstd_rand random(options.seed + static_cast<unsigned>(now_s / 10.0));
    random.discard(3);
    const double uploads = 38.0 + static_cast<double>(random() % 13);
    const double burst_s = std::fmod(now_s, 10.0);
    const double part = burst_s < 1.0 || burst_s > 5.0 ? 0.0 : std::min(1.0, (burst_s - 1.0) / 3.0);
    return {options.bursts ? static_cast<size_t>(part * uploads) : 0, 0};
}

static void conduct(int port, Clock::time_point start, Stop& stop) {
    constexpr double kTick = 0.01;
    Client client(port);
    size_t held = 0;
    double scratch_due = 0;
    for (uint64_t tick = 1;; ++tick) {
        const double now_s = static_cast<double>(tick) * kTick;
        if (stop.wait_until(start + std::chrono::duration_cast<Clock::duration>(Seconds(now_s)))) return;
        const Load load = options.storyboard ? storyboard_at(now_s) : bursts_at(now_s);
        if (load.uploads > held && !client.call(Kind::upload, load.uploads - held)) return;
        if (load.uploads < held && !client.call(Kind::finish_uploads, 0)) return;
        held = load.uploads;
        const double constant_rate = static_cast<double>(options.churn_mib * kMiB) / static_cast<double>(kScratchBytes);
        scratch_due += (load.scratch_rate + constant_rate) * kTick;
        const auto scratches = static_cast<size_t>(scratch_due);
        scratch_due -= static_cast<double>(scratches);
        if (scratches > 0 && !client.call(Kind::scratch, scratches)) return;
        if (options.fragment && tick % 10 == 0 && tick <= 600) {
            if (!client.call(Kind::fragment, tick < 600 ? 3000 : 0)) return;
        }
        if (tick % 500 == 0) {
            log_line("time_s=%.0f requests=%zu uploads=%zu leaked_kib=%zu\n", now_s, requests.load(), held,
                     leaked_bytes / 1024);
        }
    }
}

// ---- The command line ----

constexpr const char* kUsage =
    "usage: rpc_server [--port N] [--seed N] [--clients N] [--workers N]\n"
    "                  [--leak BYTES] [--leak-rate PER_SECOND] [--leak-limit MIB]\n"
    "                  [--bursts | --no-bursts] [--churn MIB_PER_SECOND] [--fragment] [--storyboard]\n"
    "                  [--for SECONDS] [--ignore-sigterm]\n";

[[noreturn]] static void usage(int code) {
    dprintf(code == 0 ? STDOUT_FILENO : STDERR_FILENO, "%s", kUsage);
    std::exit(code);
}

static double number(const char* text, double least) {
    char* end = nullptr;
    const double value = text == nullptr ? -1 : std::strtod(text, &end);
    if (text == nullptr || end == text || *end != '\0' || !(value >= least) || value > 1e9) usage(2);
    return value;
}

static void parse(int argc, char** argv) {
    bool churn_given = false;
    const std::map<std::string, std::function<void(const char*)>> valued = {
        {"--port", [](const char* v) { options.port = static_cast<int>(std::min(number(v, 0), 65535.0)); }},
        {"--seed", [](const char* v) { options.seed = static_cast<unsigned>(number(v, 0)); }},
        {"--clients", [](const char* v) { options.clients = static_cast<int>(std::min(number(v, 1), 256.0)); }},
        {"--workers", [](const char* v) { options.workers = static_cast<int>(std::min(number(v, 1), 256.0)); }},
        {"--leak", [](const char* v) { options.leak_bytes = static_cast<size_t>(number(v, 0)); }},
        {"--leak-rate", [](const char* v) { options.leak_rate = number(v, 0.001); }},
        {"--leak-limit", [](const char* v) { options.leak_limit_mib = static_cast<size_t>(number(v, 0)); }},
        {"--churn", [&](const char* v) { options.churn_mib = static_cast<size_t>(number(v, 0)), churn_given = true; }},
        {"--for", [](const char* v) { options.for_s = number(v, 0.001); }},
    };
    const std::map<std::string, std::function<void()>> plain = {
        {"--bursts", [] { options.bursts = true; }},
        {"--no-bursts", [] { options.bursts = false; }},
        {"--fragment", [] { options.fragment = true; }},
        {"--storyboard", [] { options.storyboard = true; }},
        {"--ignore-sigterm", [] { options.ignore_sigterm = true; }},
        {"--help", [] { usage(0); }},
    };
    for (int i = 1; i < argc; ++i) {
        if (const auto flag = plain.find(argv[i]); flag != plain.end()) {
            flag->second();
        } else if (const auto option = valued.find(argv[i]); option != valued.end()) {
            option->second(argv[++i]);
        } else {
            usage(2);
        }
    }
    // The story brings its own churn, and only at the end of bursts.
    if (options.storyboard && !churn_given) options.churn_mib = 0;
}

static const char* wait_for_end(const sigset_t& signals) {
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(options.for_s));
    for (;;) {
        timespec left{3600, 0};
        if (options.for_s > 0) {
            const double left_s = std::max(0.0, Seconds(end - Clock::now()).count());
            left.tv_sec = static_cast<time_t>(left_s);
            left.tv_nsec = static_cast<long>((left_s - static_cast<double>(left.tv_sec)) * 1e9);
        }
        const int signal = sigtimedwait(&signals, nullptr, &left);
        if (signal == SIGINT || (signal == SIGTERM && !options.ignore_sigterm)) return strsignal(signal);
        if (signal == SIGTERM) log_line("signal=SIGTERM ignored\n");
        if (options.for_s > 0 && Clock::now() >= end) return "its time is over";
    }
}

int main(int argc, char** argv) {
    parse(argc, argv);
    // Taken in one place by sigtimedwait, so that no handler runs anywhere; threads inherit the mask.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    std::vector<std::unique_ptr<std::vector<char>>> routes;
    for (size_t i = 0; i < kRoutes; ++i) routes.push_back(std::make_unique<std::vector<char>>(kMiB, 'r'));
    {
        Server server;
        log_line("rpc_server pid=%d port=%d clients=%d workers=%d seed=%u\n", static_cast<int>(getpid()), server.port(),
                 options.clients, options.workers, options.seed);
        Stop stop;
        const auto start = Clock::now();
        std::vector<std::thread> clients;
        clients.emplace_back(conduct, server.port(), start, std::ref(stop));
        for (int i = 0; i < options.clients; ++i) {
            clients.emplace_back(say_hello, server.port(), i, start, std::ref(stop));
        }
        const char* why = wait_for_end(signals);
        stop.set();
        for (auto& client : clients) client.join();
        log_line("rpc_server ends: %s requests=%zu leaked_bytes=%zu\n", why, requests.load(), leaked_bytes.load());
    }
    return 0;
}
