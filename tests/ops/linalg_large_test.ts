/** Factorisations of matrices that are worked on in blocks, by what they must give back. */
import { assert, assertEquals } from "@std/assert";
import {
  arange,
  det,
  eye,
  geqrf,
  linalg,
  manualSeed,
  matmul,
  memory,
  orgqr,
  randn,
  type Tensor,
  where,
} from "@toro/toro";
import { option } from "../../ffi/library.ts";

memory(); // opens the library before the sanitizers look

const DTYPES = ["float32", "float64"] as const;
type Float = typeof DTYPES[number];
/** Of the largest element, after so many operations as these sizes take. */
const CLOSE: Record<Float, number> = { float32: 1e-4, float64: 1e-11 };

function assertClose(got: Tensor, want: Tensor, what: string): void {
  assertEquals(got.shape, want.shape, what);
  const [g, w] = [got.to("float64"), want.to("float64")];
  const off = g.sub(w).abs().max().item(), size = Math.max(1, w.abs().max().item());
  assert(off <= CLOSE[want.dtype as Float] * size, `${what}: off by ${off} of ${size}`);
}

const orthonormal = (q: Tensor, what: string) =>
  assertClose(matmul(q.mT, q), eye(q.shape.at(-1)!, { dtype: q.dtype }), what);

Deno.test("LU of any shape, with its pivots, and of matrices without an inverse", () => {
  manualSeed(1);
  for (const dtype of DTYPES) {
    for (const [m, n] of [[150, 150], [70, 201], [201, 70], [9, 300], [300, 9], [129, 64]]) {
      const what = `${m} x ${n} ${dtype}`, a = randn([m, n], { dtype });
      const { P, L, U } = linalg.lu(a);
      assertClose(matmul(P, matmul(L, U)), a, what);
      assert(L.abs().max().item() <= 1, what);
      const { pivots } = linalg.luFactor(a);
      const steps = pivots.toArray() as number[];
      assert(steps.every((p, i) => p > i && p <= m), what);
    }
    const low = matmul(randn([130, 5], { dtype }), randn([5, 130], { dtype }));
    low.select(1, 40).fill_(0);
    const { L, U, P } = linalg.lu(low);
    assertClose(matmul(P, matmul(L, U)), low, "low rank");
    assertEquals(det(low).item(), 0);
    assertEquals(linalg.luFactorEx(low).info.item(), 41);
    assert(!linalg.luFactorEx(low).LU.isnan().any().item());
  }
});

Deno.test("the pivot is the first of the largest, as LAPACK's", () => {
  const n = 96, ones = eye(n).add(0).flip([0]);
  const { pivots } = linalg.luFactor(ones);
  const steps = pivots.toArray() as number[];
  assertEquals(steps, Array.from({ length: n }, (_, i) => Math.max(i + 1, n - i)));
  const ties = where(arange(n * n).view([n, n]).remainder(3).eq(0), 2, -2).to("float64");
  assertEquals((linalg.luFactorEx(ties).pivots.toArray() as number[])[0], 1);
});

Deno.test("systems, inverses and triangles of several blocks of columns", () => {
  manualSeed(2);
  for (const dtype of DTYPES) {
    const n = 150, a = randn([n, n], { dtype }).add(eye(n, { dtype }).mul(20));
    const b = randn([n, 131], { dtype });
    assertClose(matmul(a, linalg.solve(a, b)), b, "solve");
    assertClose(matmul(linalg.solve(a, b.mT, { left: false }), a), b.mT, "solve from the right");
    assertClose(matmul(a, linalg.inv(a)), eye(n, { dtype }), "inv");
    const { LU, pivots } = linalg.luFactor(a);
    assertClose(matmul(a.mT, linalg.luSolve(LU, pivots, b, { adjoint: true })), b, "adjoint");
    for (const upper of [false, true]) {
      for (const unitriangular of [false, true]) {
        const x = linalg.solveTriangular(a, b, { upper, unitriangular });
        let triangle = upper ? a.triu(unitriangular ? 1 : 0) : a.tril(unitriangular ? -1 : 0);
        if (unitriangular) triangle = triangle.add(eye(n, { dtype }));
        // The unit triangle of such a matrix is far from well-conditioned: what counts is the residual.
        const size = x.abs().max().item();
        assertClose(matmul(triangle, x).div(size), b.div(size), `${upper} ${unitriangular}`);
      }
    }
  }
});

Deno.test("Cholesky's factors, and the order of the first minor that is not positive", () => {
  manualSeed(3);
  for (const dtype of DTYPES) {
    const n = 170, x = randn([n, n], { dtype });
    const a = matmul(x, x.mT).add(eye(n, { dtype }).mul(5));
    const L = linalg.cholesky(a), upper = linalg.cholesky(a, { upper: true });
    assertClose(matmul(L, L.mT), a, "lower");
    assertClose(upper, L.mT, "upper");
    assertEquals(L.triu(1).abs().max().item(), 0);
    // The other triangle is not read.
    assertEquals(linalg.cholesky(a.tril().add(x.triu(1))).sub(L).abs().max().item(), 0);
    for (const order of [1, 60, 170]) {
      const broken = a.clone();
      broken.select(0, order - 1).select(0, order - 1).fill_(-1);
      assertEquals(linalg.choleskyEx(broken).info.item(), order);
      broken.select(0, order - 1).select(0, order - 1).fill_(NaN);
      assertEquals(linalg.choleskyEx(broken).info.item(), order);
    }
  }
});

Deno.test("QR in blocks and one by one, columns of zeros, and reflectors of one's own", () => {
  manualSeed(4);
  for (const dtype of DTYPES) {
    for (const [m, n] of [[31, 33], [32, 32], [130, 40], [40, 130], [200, 200], [1000, 3]]) {
      const what = `${m} x ${n} ${dtype}`, a = randn([m, n], { dtype }), k = Math.min(m, n);
      a.select(1, n >> 1).fill_(0);
      const { Q, R } = linalg.qr(a), whole = linalg.qr(a, { mode: "complete" });
      assertClose(matmul(Q, R), a, what);
      orthonormal(Q, what);
      orthonormal(whole.Q, what);
      assertEquals([...whole.Q.shape, ...whole.R.shape], [m, m, m, n]);
      assertEquals(R.tril(-1).abs().max().item(), 0);
      assertClose(linalg.qr(a, { mode: "r" }).R, R, what);
      const { a: packed, tau } = geqrf(a);
      assertClose(packed.triu().narrow(0, 0, k), R, what);
      if (m >= n) assertClose(orgqr(packed, tau), Q, what);
    }
    // I has nothing to reflect: every tau is 0.
    const { a: packed, tau } = geqrf(eye(64, { dtype }));
    assertEquals(packed.sub(eye(64, { dtype })).abs().max().item(), 0);
    assertEquals(tau.abs().max().item(), 0);
    // Any vectors and factors, also such as reflect nothing.
    const v = randn([90, 40], { dtype }).mul(0.1), own = randn([40], { dtype });
    own.narrow(0, 10, 3).fill_(0);
    let product = eye(90, { dtype });
    for (let i = 39; i >= 0; i--) {
      const w = v.select(1, i).mul(arange(90).gt(i)).add(arange(90).eq(i).to(dtype)).unsqueeze(1);
      product = product.sub(matmul(w, matmul(w.mT, product)).mul(own.select(0, i)));
    }
    assertClose(linalg.householderProduct(v, own), product.narrow(1, 0, 40), "reflectors");
  }
});

Deno.test("singular values and eigenvalues of every size, rank and scale", () => {
  manualSeed(5);
  for (const dtype of DTYPES) {
    const tiny = dtype === "float32" ? 1e-30 : 1e-290;
    for (const [m, n] of [[150, 60], [60, 150], [140, 140], [400, 12]]) {
      for (const rank of [1, 7, Math.min(m, n)]) {
        for (const scale of [1, tiny, 1 / tiny]) {
          const what = `${m} x ${n} of rank ${rank} times ${scale} ${dtype}`;
          const x = matmul(randn([m, rank], { dtype }), randn([rank, n], { dtype }));
          const a = x.mul(scale), size = x.abs().max().item();
          const { U, S, Vh } = linalg.svd(a, { fullMatrices: false });
          const one = S.mul(1 / scale);
          assertClose(matmul(U.mul(one.unsqueeze(-2)), Vh).div(size), x.div(size), what);
          orthonormal(U, what);
          orthonormal(Vh.mT, what);
          assert(
            one.narrow(0, 0, one.numel - 1).sub(one.narrow(0, 1, one.numel - 1)).min().item() >= 0,
          );
          assertClose(linalg.svdvals(a).mul(1 / scale), one, what);
          assertEquals(linalg.matrixRank(a).item(), rank, what);
        }
      }
    }
    for (const scale of [1, tiny, 1 / tiny]) {
      const x = randn([150, 150], { dtype }), s = x.add(x.mT);
      const { eigenvalues, eigenvectors } = linalg.eigh(s.mul(scale));
      const one = eigenvalues.mul(1 / scale);
      assertClose(matmul(eigenvectors.mul(one.unsqueeze(-2)), eigenvectors.mT), s, `${scale}`);
      orthonormal(eigenvectors, `${scale}`);
      assertClose(linalg.eigvalsh(s.mul(scale)).mul(1 / scale), one, `${scale}`);
    }
  }
  const { U, Vh } = linalg.svd(randn([90, 30], { dtype: "float64" }));
  assertEquals([...U.shape, ...Vh.shape], [90, 90, 30, 30]);
  orthonormal(U, "full");
});

Deno.test("one thread and two give the same bits", () => {
  manualSeed(6);
  const a = randn([200, 200]), b = randn([200, 140]), few = randn([3, 80, 80]);
  const all = () => [
    linalg.luFactor(a).LU,
    linalg.solve(a, b),
    linalg.cholesky(matmul(a, a.mT).add(eye(200))),
    linalg.qr(a).Q,
    linalg.svd(few).U,
    linalg.eigh(few).eigenvectors,
  ];
  option("threads", 1);
  try {
    const one = all();
    option("threads", 2);
    all().forEach((x, i) => assertEquals(x.sub(one[i]).abs().max().item(), 0, `${i}`));
  } finally {
    option("threads", 2);
  }
});
