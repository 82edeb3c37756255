// A certified OpenID provider on loopback, for tests: node e2e/oidcProvider.mjs PORT REDIRECT_ADDRESS
// Every name can log in with any password; names that begin with "op" are in the group "ops".
import Provider from "oidc-provider";

const [port, redirect] = process.argv.slice(2);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "driftline",
      client_secret: "secret of the client",
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  pkce: { required: () => true, methods: ["S256"] },
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
  cookies: { keys: ["only for tests"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: id.startsWith("op") ? ["ops"] : [] }),
  }),
});

provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
