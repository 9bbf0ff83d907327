import unittest

from judge import judge
from streams import Stream

A, B = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class JudgeTests(unittest.TestCase):
    def faults(self, *records):
        return [text for _, text in judge(records)[2]]

    def test_requests_of_their_own_are_right(self):
        seen, refused, faults = judge([(A, "/s1-0", "/s1-0", 200), (B, "/s1-1", "-", 405)])
        self.assertEqual((seen, dict(refused), faults), (2, {405: 1}, []))

    def test_a_request_without_the_proxys_id(self):
        self.assertIn("did not see", self.faults(("-", "/s1-hidden", "/s1-hidden", 200))[0])
        self.assertIn("did not see", self.faults(("-", "-", "-", 400))[0])
        self.assertIn("did not see", self.faults(("mine", "/s1-0", "/s1-0", 200))[0])

    def test_an_id_that_comes_twice(self):
        self.assertIn("one id", self.faults((A, "/s1-0", "/s1-0", 200), (A, "/s1-1", "/s1-1", 200))[0])

    def test_a_request_that_swallowed_the_next_one(self):
        self.assertIn("grown together", self.faults((A, "/s1-hidden", "/s1-1", 200))[0])
        self.assertIn("grown together", self.faults((A, "/s1-1", "/s2-1", 200))[0])
        self.assertEqual(self.faults((A, "http://a.test/s1-1?q", "/s1-1", 200)), [])

    def test_no_stream_has_a_field_name_that_haproxy_cannot_hold(self):
        names = [line.split(b":")[0] for line in Stream(7, 23847).data.split(b"\n") if b":" in line]
        self.assertEqual(max(len(name) for name in names), 250)

    def test_streams_are_the_same_for_the_same_seed(self):
        self.assertEqual(Stream(1, 7).data, Stream(1, 7).data)
        self.assertNotEqual(Stream(1, 7).data, Stream(2, 7).data)
        stream = Stream(3, 5)
        self.assertEqual(b"".join(stream.writes()), stream.data)


if __name__ == "__main__":
    unittest.main()
