export default async function stopServers() {
  await globalThis.sluiceTestStack?.stop();
}
