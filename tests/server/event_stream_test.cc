#include "server/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/serving.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;

/// A client that leaves after `n_pieces`.
class FakeSink final : public HttpSink {
 public:
  explicit FakeSink(size_t n_pieces = 1'000'000) : left_(n_pieces) {}

  bool Write(std::string_view piece) override {
    if (left_ == 0) return false;
    --left_;
    text += piece;
    return true;
  }
  bool is_writable() const override { return left_ > 0; }

  std::string text;

 private:
  size_t left_;
};

class EventStreamTest : public ::testing::Test {
 protected:
  EventStreamTest() {
    EXPECT_TRUE(pool_.Configure({.load_wait = std::chrono::minutes(10)},
                                {ServedDemo("demo", {.n_threads = 1}, 0, &metrics_)}));
  }

  std::unique_ptr<EventStream> Stream(size_t max_tokens,
                                      milliseconds ping_every = std::chrono::hours(1)) {
    ModelLease lease = *pool_.Acquire("demo", [] { return false; });
    GenerateRequest request;
    request.prompt = lease.inference().model().EncodePrompt("a");
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    ResponseContext context{.tokenizer = &lease.inference().model().tokenizer(),
                            .model_id = "demo",
                            .fingerprint = "quern-1",
                            .id = "id-1",
                            .options = {},
                            .generate = request,
                            .prompts = {request.prompt}};
    auto generation =
        std::make_unique<Generation>(GenerateGroup::Submit(&lease.inference(), {request}).value(),
                                     lease.inference().model().tokenizer());
    auto exchange =
        std::make_shared<Exchange>([this](const RequestRecord& record) { told_ = record; });
    return std::make_unique<EventStream>(
        std::move(lease), std::move(generation), NewCompletionFormat(std::move(context)),
        std::move(exchange),
        EventStream::Options{.ping_every = ping_every, .client_poll_interval = milliseconds(10)});
  }
  static BodyStream::State WriteAll(EventStream& stream, FakeSink& sink) {
    BodyStream::State state = BodyStream::State::kGoesOn;
    while (state == BodyStream::State::kGoesOn) state = stream.WriteNext(sink);
    return state;
  }

  Metrics metrics_{"1"};
  ModelPool pool_;
  RequestRecord told_;
};

TEST_F(EventStreamTest, EndsAndTellsWhatItTook) {
  FakeSink sink;
  EXPECT_EQ(WriteAll(*Stream(5), sink), BodyStream::State::kEnded);
  EXPECT_THAT(sink.text, EndsWith("data: [DONE]\n\n"));
  EXPECT_EQ(told_.outcome, RequestOutcome::kAnswered);
  EXPECT_EQ(told_.generated_tokens, 5U);
  EXPECT_GT(told_.prompt_tokens, 0U);
}

TEST_F(EventStreamTest, AClientThatLeavesCancelsIt) {
  FakeSink sink(2);
  EXPECT_EQ(WriteAll(*Stream(4000), sink), BodyStream::State::kBroken);
  EXPECT_EQ(told_.outcome, RequestOutcome::kCancelled);
  EXPECT_LT(told_.generated_tokens, 4000U);
}

TEST_F(EventStreamTest, AClosedServerSaysSo) {
  const std::unique_ptr<EventStream> stream = Stream(4000);
  FakeSink sink;
  ASSERT_EQ(stream->WriteNext(sink), BodyStream::State::kGoesOn);
  pool_.AcquireLoaded("demo")->inference().Close(std::chrono::steady_clock::now());
  EXPECT_EQ(WriteAll(*stream, sink), BodyStream::State::kEnded);
  EXPECT_THAT(sink.text, HasSubstr("the server is shutting down"));
}

}  // namespace
}  // namespace quern
